package nft_test

import (
	"net/netip"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

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
