package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"rpdb"
	"rpdb/kernel"
)

// refused is why there are no namespaces for the tests, nil if there are.
var refused error

// TestMain runs the tests in namespaces of their own, as root and as an
// ordinary user.
func TestMain(m *testing.M) {
	if words, ok := os.LookupEnv(helperVariable); ok {
		os.Exit(helper(words))
	}
	inside, code, err := Enter(context.Background(), EnterOptions{})
	switch {
	case errors.Is(err, ErrRefused):
		refused = err // the tests of pure functions still run
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !inside:
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// buildWorld builds a world in a namespace of the test's own.
func buildWorld(t testing.TB, s Spec) *World {
	t.Helper()
	if refused != nil {
		t.Skip(refused)
	}
	host, err := kernel.NewNetNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	s.Host = host
	w, err := Build(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// twoUplinks is the scene of the howto.
func twoUplinks() []Uplink {
	return []Uplink{
		{Name: "isp-a", Link: "eth0", Gateways: addrs("192.168.0.1", "2001:db8:a::1"), Addresses: prefixes("192.168.0.10/24", "2001:db8:a::10/64")},
		{Name: "isp-b", Link: "eth1", Gateways: addrs("10.10.0.1", "2001:db8:b::1"), Addresses: prefixes("10.10.0.10/24", "2001:db8:b::10/64")},
	}
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// send sends the probe and fails the test on trouble.
func send(t testing.TB, w *World, p Probe) Outcome {
	t.Helper()
	o, err := w.Send(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func sendAll(t testing.TB, w *World, probes []Probe) []Outcome {
	t.Helper()
	outcomes, err := w.SendAll(context.Background(), probes)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// do makes changes on the host.
func do(t testing.TB, w *World, changes ...rpdb.Change) {
	t.Helper()
	conn, err := kernel.Open(kernel.Options{NetNS: w.Host()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range changes {
		if err := conn.Do(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// index returns the index of an interface of the host.
func index(t testing.TB, w *World, link rpdb.LinkName) rpdb.LinkIndex {
	t.Helper()
	i, err := plug{w.host, link}.index()
	if err != nil {
		t.Fatal(err)
	}
	return i
}
