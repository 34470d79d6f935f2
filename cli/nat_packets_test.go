package cli

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
	"rpdb/policy"
	"rpdb/sandbox"
)

// natHost is a router between inside hosts and two providers, which lead everything
// here that the policies of the test translate from and to: packets are answered
// however they leave. Hosts compute and verify all checksums.
type natHost struct {
	t     *testing.T
	world *sandbox.World
	dir   string
}

// natBlocks are where blocks of each family begin.
type natBlocks struct{ four, six string }

// servers are the inside ones.
func servers() natBlocks { return natBlocks{"10.1.0.0", "fd00:1::"} }

// file is the name of a policy that maps the servers onto blocks.
func (b natBlocks) file() string { return b.four + ".yaml" }

// natFamilies counts those that can be translated: an ordinary user's namespaces take
// no programs, by which packets of IPv6 are known.
func natFamilies() int {
	if kerneltest.FirstUserNamespace() {
		return 2
	}
	return 1
}

// document is that policy. It leads others by the same uplink as they are.
func (b natBlocks) document() string {
	six := `  - {name: servers6, from: "fd00:1::/64", lookup: isp-b, nat: "` + b.six + `"}
`
	if natFamilies() == 1 {
		six = ""
	}
	return `
uplinks:
  - {interface: eth0, name: isp-a, gateways: [192.168.0.1, "2001:db8:a::1"]}
  - {interface: eth1, name: isp-b, gateways: [10.10.0.1, "2001:db8:b::1"]}
rules:
  - {name: plain, from: 10.2.0.0/24, lookup: isp-b}
  - {name: plain6, from: "fd00:2::/64", lookup: isp-b}
  - {name: servers, from: 10.1.0.0/24, lookup: isp-b, nat: ` + b.four + `}
` + six + `  - uplinks
`
}

func newNATHost(t *testing.T, blocks ...natBlocks) *natHost {
	t.Helper()
	h := &natHost{t: t, dir: t.TempDir()}
	endGuards(t, h.dir)
	var spec sandbox.Spec
	for _, block := range blocks {
		text := block.document()
		if err := os.WriteFile(filepath.Join(h.dir, block.file()), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Parse(block.file(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		own := trySpec(doc)
		spec.Uplinks = own.Uplinks
		spec.Avoid = append(spec.Avoid, own.Uplinks[1].Routed...)
	}
	spec.Extra = []sandbox.Extra{
		{Link: "lan0", Inside: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd00:1::/64")}},
		{Link: "lan1", Inside: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("fd00:2::/64")}},
	}
	for i := range spec.Uplinks {
		spec.Uplinks[i].Routed = slices.Concat(spec.Extra[0].Inside, spec.Extra[1].Inside, spec.Avoid)
	}
	spec.Host = kerneltest.Namespace(t)
	world, err := sandbox.Build(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { world.Close() })
	h.world = world
	return h
}

// rpdb runs the program on the router.
func (h *natHost) rpdb(args ...string) {
	h.t.Helper()
	if out, err := h.run((*exec.Cmd).Start, args...); err != nil {
		h.t.Fatalf("rpdb %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// run starts the program there, in a way, and returns what it says.
func (h *natHost) run(start func(*exec.Cmd) error, args ...string) (string, error) {
	h.t.Helper()
	cmd := program(h.t, append(args, "--state-dir", filepath.Join(h.dir, "state"))...)
	cmd.Dir = h.dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	started := make(chan error)
	go func() {
		started <- h.world.Host().Do(func() error { return start(cmd) })
	}()
	err := <-started
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// wantSeen sends packets of every kind from the first, the last and another server,
// and from a host that another rule is for, and wants each to be seen by the world
// from the address at its place in a block, by an interface, and answered. Where
// there is a map for it, the world asks the servers by these addresses, too.
func (h *natHost) wantSeen(when string, blocks natBlocks, link rpdb.LinkName, mapped bool) {
	h.t.Helper()
	var probes []sandbox.Probe
	want := map[netip.Addr]netip.Addr{}
	hosts := []string{"0", "7", "255", "::", "::7", "::ffff:ffff:ffff:ffff"}
	for _, host := range hosts[:3*natFamilies()] {
		from, to := strings.TrimSuffix(servers().four, "0"), strings.TrimSuffix(blocks.four, "0")
		if strings.HasPrefix(host, "::") {
			from, to = strings.TrimSuffix(servers().six, "::"), strings.TrimSuffix(blocks.six, "::")
		}
		inside, outside := netip.MustParseAddr(from+host), netip.MustParseAddr(to+host)
		want[inside] = outside
		probes = append(probes, sandbox.Probe{Inside: "lan0", Local: inside})
		if mapped {
			probes = append(probes, sandbox.Probe{Inside: "lan0", Local: inside, Direction: sandbox.Inbound, Uplink: "isp-b", Asked: outside})
		}
	}
	for _, other := range []netip.Addr{netip.MustParseAddr("10.2.0.7"), netip.MustParseAddr("fd00:2::7")} {
		want[other] = other
		probes = append(probes, sandbox.Probe{Inside: "lan1", Local: other})
	}
	var all []sandbox.Probe
	for _, p := range probes {
		for _, p.Protocol = range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
			all = append(all, p)
		}
	}
	outcomes, err := h.world.SendAll(h.t.Context(), all)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Source != want[o.Probe.Local] || o.Link() != link || !o.Answered {
			h.t.Errorf("%s: %v: left by %q as %v, answered %v; want %q, %v", when, o.Probe, o.Link(), o.Source, o.Answered, link, want[o.Probe.Local])
		}
	}
}

// table is what stands in nftables.
func (h *natHost) table() nft.State {
	h.t.Helper()
	c, err := nft.Open(nft.Options{NetNS: h.world.Host().FD()})
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Read(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// TestNATFromFileToPackets follows a policy with nat through its life, in packets:
// on trial, confirmed, replaced and taken back, repaired, removed.
func TestNATFromFileToPackets(t *testing.T) {
	one, other := natBlocks{"203.0.113.0", "2001:db8:5::"}, natBlocks{"198.51.100.0", "2001:db8:6::"}
	h := newNATHost(t, one, other)
	h.wantSeen("before", servers(), "eth0", false)
	h.rpdb("apply", one.file(), "--confirm", "10m")
	h.wantSeen("on trial", one, "eth1", true)
	h.rpdb("confirm")
	h.wantSeen("confirmed", one, "eth1", true)

	h.rpdb("apply", other.file(), "--confirm", "10m")
	h.wantSeen("another on trial", other, "eth1", true)
	h.rpdb("rollback")
	h.wantSeen("taken back", one, "eth1", true)
	if s := h.table(); len(s.Translations) != natFamilies() || len(s.Unknown) > 0 {
		t.Errorf("taken back: nftables has %+v", s)
	}

	c, err := nft.Open(nft.Options{NetNS: h.world.Host().FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantSeen("table deleted by others", servers(), "eth1", false)
	h.rpdb("repair")
	h.wantSeen("repaired", one, "eth1", true)

	h.rpdb("apply", other.file())
	h.wantSeen("another applied", other, "eth1", true)
	h.rpdb("rollback", "--last", "1")
	h.wantSeen("back at the first", one, "eth1", true)
	h.rpdb("remove")
	h.wantSeen("removed", servers(), "eth0", false)
	if s := h.table(); len(s.Translations)+len(s.Unknown) > 0 {
		t.Errorf("removed: nftables has %+v", s)
	}
}

// TestNATThatCannotBeRead: a command that changes something does not where it may not
// see what nftables holds. A confirmation counts, says that something is left, and
// the next command clears it away.
func TestNATThatCannotBeRead(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the arguments of system calls are elsewhere on " + runtime.GOARCH)
	}
	const denied = "nf_tables: operation not permitted"
	one, other := natBlocks{"203.0.113.0", "2001:db8:5::"}, natBlocks{"198.51.100.0", "2001:db8:6::"}
	h := newNATHost(t, one, other)
	forbidden := func(cmd *exec.Cmd) error { return withoutNFT(cmd, unix.EPERM) }
	refused := func(args ...string) {
		t.Helper()
		if out, err := h.run(forbidden, args...); err == nil || !strings.Contains(out, denied) {
			t.Errorf("rpdb %s: %v: %s", args[0], err, out)
		}
	}
	refused("apply", one.file())
	h.wantSeen("refused", servers(), "eth0", false)
	h.rpdb("apply", one.file())
	refused("apply", other.file())
	refused("remove")
	refused("repair")
	h.rpdb("apply", other.file(), "--confirm", "10m")
	refused("rollback")
	h.wantSeen("on trial", other, "eth1", true)
	if out, err := h.run(forbidden, "confirm"); err != nil || !strings.Contains(out, denied) || !strings.Contains(out, "tries again") {
		t.Errorf("confirm: %v: %s", err, out)
	}
	h.rpdb("repair")
	h.rpdb("status") // in sync
	h.wantSeen("confirmed", other, "eth1", true)
	if s := h.table(); len(s.Translations) != natFamilies() || len(s.Unknown) > 0 {
		t.Errorf("nftables has %+v", s)
	}
}
