package nft_test

import (
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
	"rpdb/kernel/netlink"
	"rpdb/nft"
	"rpdb/nft/nfttest"
)

func open(t *testing.T, ns *kernel.NetNS) *nft.Conn {
	t.Helper()
	c, err := nft.Open(nft.Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// program runs the nft program in a namespace: the oracle of what stands there.
func program(t *testing.T, ns *kernel.NetNS, words ...string) string {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft program: ", err)
	}
	out, err := tryProgram(ns, words...)
	if err != nil {
		t.Fatalf("nft %q: %v\n%s", words, err, out)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// asNobody runs f on a thread without capabilities, which ends with it.
func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func tryProgram(ns *kernel.NetNS, words ...string) (string, error) {
	var out []byte
	err := netlink.InNetNS(ns.FD(), func() (err error) {
		out, err = exec.Command("nft", words...).CombinedOutput()
		return err
	})
	return string(out), err
}

// generation is the number of the state that nf_tables is in: each transaction
// makes another.
func generation(t *testing.T, ns *kernel.NetNS) (n int) {
	t.Helper()
	c, err := netlink.Dial(netlink.Options{Protocol: unix.NETLINK_NETFILTER, NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Execute(t.Context(), netlink.NewEncoder(nil, 10<<8|16, 0, make([]byte, 4)), func(m netlink.Message) error {
		d := netlink.NewDecoder(m.Data[4:])
		for d.Next() {
			if d.Type() == 1 {
				n = int(d.NetUint32())
			}
		}
		return d.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestConformance(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		nfttest.Conformance(t, func(*testing.T) nfttest.World {
			m := new(nfttest.Memory)
			return nfttest.World{
				Tables:  m,
				Disturb: func(*testing.T) { m.Disturb("a rule") },
				Changes: func(*testing.T) int { return m.Changes() },
			}
		})
	})
	t.Run("kernel", func(t *testing.T) {
		nfttest.Conformance(t, func(t *testing.T) nfttest.World {
			ns := kerneltest.Namespace(t)
			first := generation(t, ns)
			return nfttest.World{
				Tables: open(t, ns),
				Disturb: func(t *testing.T) {
					program(t, ns, "add", "rule", "ip", "rpdb", "srcnat", "counter")
				},
				Changes: func(t *testing.T) int { return generation(t, ns) - first },
			}
		})
	})
}

// TestMemoryTakesTheSameLists: the kernel in memory, on which whole transactions are
// tried, refuses the lists that this package refuses, and no others.
func TestMemoryTakesTheSameLists(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 82))
	k := kerneltest.NewMemory()
	outside := map[rpdb.Family]netip.Prefix{rpdb.IPv4: prefix("203.0.113.0/24"), rpdb.IPv6: prefix("2001:db8:5::/64")}
	inside := map[rpdb.Family]netip.Prefix{rpdb.IPv4: prefix(block4), rpdb.IPv6: prefix(block6)}
	taken := 0
	const rounds = 2000
	for range rounds {
		list := nfttest.Random(r, 1+r.IntN(3))
		for i := range list {
			x := &list[i]
			x.Realm = 10500 + uint16(r.IntN(3))
			if x.Kind.Maps() && r.IntN(2) == 0 {
				x.From, x.To = inside[x.Family], outside[x.Family]
			}
		}
		_, want := nft.Canonical(list)
		got := k.Do(t.Context(), rpdb.NATChange(rpdb.Replace, list))
		if (got == nil) != (want == nil) {
			t.Fatalf("%+v: in memory %v, here %v", list, got, want)
		}
		if got == nil {
			taken++
		}
	}
	if taken < rounds/10 || taken > rounds*9/10 {
		t.Errorf("%d of %d lists are taken", taken, rounds)
	}
}
