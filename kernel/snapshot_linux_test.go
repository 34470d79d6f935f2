package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

func TestSnapshotOfAWorld(t *testing.T) {
	ns, c := uplinks(t)
	eth0, eth1 := index(t, c, "eth0"), index(t, c, "eth1")
	must(t, c.SetLink("eth1", LinkChange{Group: rpdb.Some[uint32](7), MTU: 1400}))
	must(t, c.AddAddress("eth1", prefix("10.0.0.1/32"), AddressOptions{Peer: addr("10.0.0.2")}))
	must(t, c.SetNeighbour("eth0", addr("192.0.2.9"), []byte{2, 0, 0, 0, 0, 9}, rpdb.NeighbourPermanent))
	must(t, c.SetNeighbour("eth0", addr("2001:db8::9"), []byte{2, 0, 0, 0, 0, 9}, rpdb.NeighbourReachable))
	for _, n := range nexthopObjects(eth0, eth1) {
		must(t, c.AddNexthop(n))
	}
	for key, value := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv4.fib_multipath_hash_policy": "1", "net.ipv6.fib_multipath_hash_policy": "2",
		"net.ipv4.conf.eth0.rp_filter": "2", "net.ipv4.conf.eth0.src_valid_mark": "1", "net.ipv6.conf.eth1.disable_ipv6": "1",
		"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.fwmark_reflect": "1", "net.ipv4.tcp_fwmark_accept": "1",
		"net.ipv4.conf.eth1.route_localnet": "1", "net.ipv4.conf.eth1.accept_local": "1",
		"net.ipv4.conf.eth1.ignore_routes_with_linkdown": "1", "net.ipv6.conf.eth0.ignore_routes_with_linkdown": "1",
	} {
		must(t, ns.SetSysctl(key, value))
	}
	s := snapshot(t, c)

	if links, err := c.Links(t.Context()); err != nil || !slices.Equal(links, s.Links) {
		t.Errorf("links alone are %+v, %v", links, err)
	}
	l, _ := s.LinkByName("eth1")
	if l.Index != eth1 || l.Group != 7 || l.MTU != 1400 || l.Kind != "veth" || !l.HasCarrier() {
		t.Errorf("eth1 is %+v", l)
	}
	if lo, _ := s.Link(1); !lo.IsLoopback() || !lo.IsUp() {
		t.Errorf("lo is %+v", lo)
	}
	if !slices.ContainsFunc(s.Addresses, func(a rpdb.Address) bool {
		return a.Link == eth1 && a.Prefix == prefix("10.0.0.1/32") && a.Peer == addr("10.0.0.2") && a.Usable()
	}) {
		t.Errorf("no address with its peer in %+v", s.Addresses)
	}
	for _, want := range []rpdb.Neighbour{
		{Link: eth0, Addr: addr("192.0.2.9"), State: rpdb.NeighbourPermanent},
		{Link: eth0, Addr: addr("2001:db8::9"), State: rpdb.NeighbourReachable},
	} {
		if !slices.Contains(s.Neighbours, want) {
			t.Errorf("no %+v in %+v", want, s.Neighbours)
		}
	}
	for _, want := range nexthopObjects(eth0, eth1) {
		if !slices.ContainsFunc(s.Nexthops, func(n rpdb.NexthopObject) bool { return sameObject(n, want) }) {
			t.Errorf("no %+v in %+v", want, s.Nexthops)
		}
	}
	y := s.Sysctls
	if !y.IPv4Forward || y.IPv6Forward || y.HashPolicy4 != 1 || y.HashPolicy6 != 2 || !y.ReflectMark4 || !y.TCPMarkAccept || y.All.RPFilter != 1 {
		t.Errorf("settings are %+v", y)
	}
	if s.Custom4 != rpdb.CustomisedUnknown || s.Custom6 != rpdb.CustomisedUnknown || s.Kernel == "" {
		t.Errorf("customised %v, %v, kernel %q", s.Custom4, s.Custom6, s.Kernel)
	}
}

func sameObject(a, b rpdb.NexthopObject) bool {
	return a.ID == b.ID && a.Nexthop.Canonical() == b.Nexthop.Canonical() && a.Blackhole == b.Blackhole &&
		slices.Equal(a.Group, b.Group) && a.GroupType == b.GroupType && a.Resilient == b.Resilient && a.Protocol == b.Protocol
}

// The settings of interfaces come by netlink; the files say the same.
func TestLinkSettingsAreThoseOfTheFiles(t *testing.T) {
	ns, c := uplinks(t)
	files := map[string]func(rpdb.LinkSysctls) bool{
		"ipv4.conf.IF.forwarding":                  func(l rpdb.LinkSysctls) bool { return l.Forwarding4 },
		"ipv6.conf.IF.forwarding":                  func(l rpdb.LinkSysctls) bool { return l.Forwarding6 },
		"ipv4.conf.IF.src_valid_mark":              func(l rpdb.LinkSysctls) bool { return l.SrcValidMark },
		"ipv4.conf.IF.accept_local":                func(l rpdb.LinkSysctls) bool { return l.AcceptLocal },
		"ipv4.conf.IF.route_localnet":              func(l rpdb.LinkSysctls) bool { return l.RouteLocalnet },
		"ipv4.conf.IF.ignore_routes_with_linkdown": func(l rpdb.LinkSysctls) bool { return l.IgnoreLinkdown4 },
		"ipv6.conf.IF.ignore_routes_with_linkdown": func(l rpdb.LinkSysctls) bool { return l.IgnoreLinkdown6 },
		"ipv6.conf.IF.disable_ipv6":                func(l rpdb.LinkSysctls) bool { return l.DisableIPv6 },
		"ipv4.conf.IF.send_redirects":              func(l rpdb.LinkSysctls) bool { return !l.NoSendRedirects },
		"ipv4.conf.IF.rp_filter":                   func(l rpdb.LinkSysctls) bool { return l.RPFilter == 1 },
	}
	for key, read := range files {
		for _, name := range []string{"eth0", "eth1"} {
			path := "net." + strings.Replace(key, "IF", name, 1)
			before, err := ns.Sysctl(path)
			must(t, err)
			for _, value := range []string{"1", "0", before} {
				must(t, ns.SetSysctl(path, value))
				if got := read(snapshot(t, c).Sysctls.Links[rpdb.LinkName(name)]); got != (value == "1") {
					t.Errorf("%s = %s reads as %v", path, value, got)
				}
			}
		}
	}
}

func TestSysctlKeys(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":            "/proc/sys/net/ipv4/ip_forward",
		"net.ipv4.conf.all.rp_filter":    "/proc/sys/net/ipv4/conf/all/rp_filter",
		"net.ipv4.conf.eth0.5.rp_filter": "/proc/sys/net/ipv4/conf/eth0.5/rp_filter",
		"net/ipv4/conf/eth0.5/rp_filter": "/proc/sys/net/ipv4/conf/eth0.5/rp_filter",
		"net.ipv6.neigh.a.b.c.delay":     "/proc/sys/net/ipv6/neigh/a.b.c/delay",
		"kernel.hostname":                "",
		"net.ipv4.conf./../x":            "",
		"net/../kernel/hostname":         "",
		"net":                            "",
		"":                               "",
		"net.ipv4..ip_forward":           "",
	} {
		if got, err := sysctlPath(key); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", key, got, err, want)
		}
	}
	ns, _ := namespace(t)
	if _, err := ns.Sysctl("net.ipv4.absent"); !errors.Is(err, syscall.ENOENT) || err.Error() != `read sysctl "net.ipv4.absent": no such file or directory` {
		t.Errorf("got %v", err)
	}
	if err := ns.SetSysctl("net.ipv4.conf.all.rp_filter", "soft"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v", err)
	}
}

// While another socket adds and deletes rules in front, single dumps lose
// stable rules. A snapshot never does; when it cannot be sure it says so.
func TestSnapshotUnderChurn(t *testing.T) {
	ns, c := namespace(t)
	const stable = 1500 // several datagrams
	for i := range stable {
		e := encodeRule(unix.RTM_NEWRULE, netlink.Create, rpdb.Rule{
			Family: rpdb.IPv4, Priority: rpdb.Priority(30000 - i), Action: rpdb.ToTable(rpdb.TableID(i + 1)),
		})
		must(t, c.nl.Execute(t.Context(), e, nil))
	}
	stop := churn(t, ns)
	good, unstable, torn := 0, 0, 0
	for range 40 {
		rules, _, err := c.dumpRules(t.Context(), rpdb.IPv4)
		if err == nil && countStable(rules) != stable {
			torn++
		}
		s, err := c.Snapshot(t.Context())
		var u *UnstableError
		switch {
		case errors.As(err, &u):
			if u.Class != "rules (IPv4)" || !errors.Is(err, syscall.EAGAIN) {
				t.Errorf("got %v", err)
			}
			unstable++
		case err != nil:
			t.Fatal(err)
		case countStable(s.Rules) != stable:
			t.Errorf("a snapshot has %d of %d stable rules", countStable(s.Rules), stable)
		default:
			good++
		}
	}
	stop()
	t.Logf("%d good, %d refused; of 40 plain dumps %d were wrong", good, unstable, torn)
	if good == 0 {
		t.Error("no snapshot came through")
	}
	if s := snapshot(t, c); countStable(s.Rules) != stable {
		t.Error("not stable in the end")
	}
}

func countStable(rules []rpdb.Rule) int {
	seen := map[rpdb.Rule]bool{}
	for _, r := range rules {
		if r.Priority > 20000 && r.Priority <= 30000 {
			if seen[r] {
				return -1
			}
			seen[r] = true
		}
	}
	return len(seen)
}

// churn adds and deletes a rule in front of all others, with pauses.
func churn(t *testing.T, ns *NetNS) (stop func()) {
	other, err := Open(Options{NetNS: ns})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: 5, Action: rpdb.Nop()}
		for i := 0; ctx.Err() == nil; i++ {
			_ = other.nl.Execute(ctx, encodeRule(unix.RTM_NEWRULE, netlink.Create, r), nil)
			_ = other.nl.Execute(ctx, encodeRule(unix.RTM_DELRULE, 0, r), nil)
			if i%50 == 49 {
				pause(ctx)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		other.Close()
	}
}

func TestReadingStopsWithItsContext(t *testing.T) {
	_, c := namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := c.Do(ctx, addRule(rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()})); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(snapshot(t, c).RulesOf(rpdb.IPv4)) != 3 {
		t.Error("the rule was added all the same")
	}
}

// Reading the process's own namespace needs no privilege; changing does.
func TestWithoutPrivilege(t *testing.T) {
	c, err := Open(Options{})
	must(t, err)
	defer c.Close()
	result := make(chan error, 2)
	go func() {
		// Capabilities belong to threads; this one is thrown away.
		lockThread()
		if err := dropCapabilities(); err != nil {
			result <- err
			result <- nil
			return
		}
		mine, err := Open(Options{})
		if err == nil {
			_, err = mine.Snapshot(context.Background())
		}
		result <- err
		result <- do(mine, addRule(rpdb.Rule{Family: rpdb.IPv4, Priority: 7, Action: rpdb.Nop()}))
		mine.Close()
	}()
	if err := <-result; err != nil {
		t.Errorf("reading: %v", err)
	}
	if err := <-result; !errors.Is(err, syscall.EPERM) || err.Error() != "add rule 7 (IPv4): operation not permitted" {
		t.Errorf("changing: got %v", err)
	}
}

func TestNamespaces(t *testing.T) {
	ns, c := namespace(t)
	if got := snapshot(t, c); len(got.Links) != 1 || got.Links[0].Name != "lo" {
		t.Errorf("a new namespace has %+v", got.Links)
	}
	again, err := OpenNetNS(fmt.Sprintf("/proc/self/fd/%d", ns.FD()))
	must(t, err)
	defer again.Close()
	same := func() string { s, _ := os.Readlink("/proc/thread-self/ns/net"); return s }
	inside := map[string]bool{}
	for _, n := range []*NetNS{ns, again} {
		must(t, n.Do(func() error { inside[same()] = true; return nil }))
	}
	if len(inside) != 1 || inside[same()] {
		t.Errorf("inside %v, outside %s", slices.Collect(maps.Keys(inside)), same())
	}
	stop := errors.New("stop")
	if err := ns.Do(func() error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
	fifo := t.TempDir() + "/fifo"
	must(t, unix.Mkfifo(fifo, 0o600))
	folder := syscall.EINVAL // not a namespace
	if _, err := os.Stat(netnsDir); err != nil {
		folder = syscall.ENOENT // nobody ever made a namespace with a name
	}
	for name, errno := range map[string]syscall.Errno{
		"absent-namespace": syscall.ENOENT, "": folder, ".": folder, "..": folder, "/proc/self/status": syscall.EINVAL,
		"/proc/self/ns/mnt": syscall.EINVAL, fifo: syscall.EINVAL,
	} {
		if _, err := OpenNetNS(name); !errors.Is(err, errno) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestLinks(t *testing.T) {
	_, c := uplinks(t)
	must(t, c.SetLink("eth0", LinkChange{Down: true}))
	must(t, c.SetLink("eth0", LinkChange{NewName: "wan0", Up: true}))
	if l, ok := snapshot(t, c).LinkByName("wan0"); !ok || !l.IsUp() {
		t.Errorf("wan0 is %+v", l)
	}
	must(t, c.DeleteAddress("wan0", prefix("192.0.2.1/24")))
	if got := snapshot(t, c).AddressesOf(rpdb.IPv4, index(t, c, "wan0")); len(got) != 0 {
		t.Errorf("addresses left: %v", got)
	}
	must(t, c.DeleteLink("wan0"))
	for want, err := range map[string]error{
		`delete link "wan0": no such device`:                                c.DeleteLink("wan0"),
		`set link "eth1": invalid argument: up and down exclude each other`: c.SetLink("eth1", LinkChange{Up: true, Down: true}),
		`add address 192.0.2.1/24 on "wan0": no such device`:                c.AddAddress("wan0", prefix("192.0.2.1/24"), AddressOptions{}),
		`delete nexthop object 77: no such file or directory`:               c.DeleteNexthop(77),
		`delete link "eth1:1": no such device`:                              c.DeleteLink("eth1:1"),
		`add veth "eth1", "x": file exists`:                                 c.AddVeth(VethEnd{Name: "eth1"}, VethEnd{Name: "x"}),
		`set link "a-name-too-long-for-it": no such device`:                 c.SetLink("a-name-too-long-for-it", LinkChange{Up: true}),
		`add address invalid Prefix on "eth1": invalid argument`:            c.AddAddress("eth1", netip.Prefix{}, AddressOptions{}),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// An interface that may ask once gives up at once.
func TestResolution(t *testing.T) {
	ns, c := uplinks(t)
	for _, f := range rpdb.Families() {
		must(t, c.SetResolution("eth0", f, Resolution{Tries: 1, Every: 20 * time.Millisecond}))
		must(t, c.SetResolution("eth0", f, Resolution{}))
		err := c.SetResolution("eth9", f, Resolution{Tries: 1})
		if want := fmt.Sprintf(`set neighbour resolution (%v) on "eth9": no such device`, f); err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
	var took time.Duration
	for range 8 { // once is enough: a busy machine makes anything slow
		begin := time.Now()
		must(t, ns.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			absent := &unix.SockaddrInet4{Addr: addr("192.0.2.99").As4(), Port: 9}
			if err := unix.Connect(fd, absent); !errors.Is(err, unix.EHOSTUNREACH) {
				t.Errorf("got %v", err)
			}
			return nil
		}))
		if took = time.Since(begin); took < time.Second {
			return
		}
	}
	t.Errorf("gave up only after %v", took)
}

func TestDecodingRulesAllocatesLittle(t *testing.T) {
	plain := rpdb.Rule{
		Family: rpdb.IPv4, Priority: 100, Protocol: rpdb.ProtocolRPDB, Action: rpdb.ToTable(1001),
		Selector: rpdb.Selector{From: prefix("192.0.2.0/24"), Mark: rpdb.Mark{Value: 1, Mask: 0xff}},
	}
	b := encodeRule(unix.RTM_NEWRULE, 0, plain).Payload()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := decodeRule(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a rule without names", n)
	}
	_, c := namespace(t)
	const count = 400
	for i := range count {
		plain.Priority = rpdb.Priority(20000 - i)
		must(t, c.nl.Execute(t.Context(), encodeRule(unix.RTM_NEWRULE, netlink.Create, plain), nil))
	}
	n := testing.AllocsPerRun(10, func() {
		rules, _, err := c.dumpRules(context.Background(), rpdb.IPv4)
		if err != nil || len(rules) != count+3 {
			t.Fatalf("%d rules, %v", len(rules), err)
		}
	})
	if n > 40 { // the slice as it grows, and one address for each read
		t.Errorf("%v allocations for a dump of %d rules", n, count)
	}
}
