package sandbox

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel"
)

// TestErrnoOfDenyingRules shows what the host's own calls say, and what a
// client outside sees: nothing.
func TestErrnoOfDenyingRules(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	for _, c := range []struct {
		action rpdb.Action
		errno  rpdb.Errno
	}{{rpdb.Prohibit(), rpdb.EACCES}, {rpdb.Unreachable(), rpdb.ENETUNREACH}, {rpdb.Blackhole(), rpdb.EINVAL}} {
		var rules []rpdb.Rule
		for _, f := range rpdb.Families() {
			r := rpdb.Rule{Family: f, Priority: 10, Action: c.action, Selector: rpdb.Selector{To: single(w.Outside(f))}}
			rules = append(rules, r)
			do(t, w, rpdb.RuleChange(rpdb.Add, r))
		}
		for _, o := range sendAll(t, w, w.Probes()) {
			p := o.Probe
			switch {
			case p.Device != "" && p.Family == rpdb.IPv4: // the error is thrown away, and nobody answers ARP
				if o.Answered || o.Errno != 0 || len(o.Departures) > 0 {
					t.Errorf("%v: %v: want silence, got %+v", c.action, p, o)
				}
			case p.Direction == Inbound && p.Protocol != rpdb.UDP:
				if o.Answered || o.Errno != 0 || len(o.Departures) > 0 {
					t.Errorf("%v: %v: want silence, got %+v", c.action, p, o)
				}
			default:
				if o.Answered || o.Errno != c.errno || len(o.Departures) > 0 {
					t.Errorf("%v: %v: want errno %v, got %+v", c.action, p, c.errno, o)
				}
			}
		}
		for _, r := range rules {
			do(t, w, rpdb.RuleChange(rpdb.Delete, r))
		}
	}
}

// TestExtra sends by interfaces that are not uplinks: any source is let
// through and answered, with or without a next hop.
func TestExtra(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1], Extra: []Extra{
		{Link: "wg0"},
		{Link: "tun1", Gateways: addrs("10.8.0.1", "fe80::99"), Addresses: prefixes("10.8.0.2/24")},
		{Link: "tun2", Gateways: addrs("10.9.0.1", "2001:db8:9::1")},
	}})
	vias := map[rpdb.LinkName][]netip.Addr{"tun1": addrs("10.8.0.1", "fe80::99"), "tun2": addrs("10.9.0.1", "2001:db8:9::1")}
	for i, link := range []rpdb.LinkName{"wg0", "tun1", "tun2"} {
		mark := uint32(i + 1)
		for j, f := range rpdb.Families() {
			hop := rpdb.Nexthop{Link: index(t, w, link)}
			if vias[link] != nil {
				hop.Via = vias[link][j]
			}
			r := rpdb.Route{Family: f, Table: rpdb.TableID(100 + i), Dst: f.Default(), Type: rpdb.RouteUnicast, Nexthops: []rpdb.Nexthop{hop}}
			if !hop.Via.IsValid() {
				r.Scope = wg0Scope(f)
			}
			do(t, w, rpdb.RouteChange(rpdb.Add, r), rpdb.RuleChange(rpdb.Add, rpdb.Rule{
				Family: f, Priority: rpdb.Priority(100 + i), Action: rpdb.ToTable(r.Table), Selector: rpdb.Selector{Mark: rpdb.Mark{Value: mark, Mask: 0xff}},
			}))
			for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
				for _, local := range []netip.Addr{{}, w.Spec().Uplinks[0].Addresses[j].Addr()} {
					o := send(t, w, Probe{Protocol: protocol, Family: f, Mark: mark, Local: local})
					if !o.Answered || o.Link() != link || o.Spoofed() {
						t.Errorf("%v: want an answer by %s, got %+v", o.Probe, link, o)
					}
				}
			}
		}
	}
	if _, err := w.Prepare(Probe{Direction: Inbound, Uplink: "wg0", Protocol: rpdb.TCP, Local: w.Spec().Extra[0].Addresses[0].Addr()}); err != nil {
		t.Error(err)
	}
}

// TestInboundByTunnel asks by an interface that is no uplink.
func TestInboundByTunnel(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1], Extra: []Extra{{Link: "wg0"}}})
	for _, p := range w.Spec().Extra[0].Addresses {
		// The answer leaves by main's default, and is spoofed there.
		o := send(t, w, Probe{Direction: Inbound, Uplink: "wg0", Protocol: rpdb.UDP, Local: p.Addr()})
		if o.Answered || o.Link() != "eth0" || !o.Spoofed() {
			t.Errorf("%v: got %+v", o.Probe, o)
		}
	}
}

// TestSameNetworkTwice has two providers that use one private network, as home
// routers do.
func TestSameNetworkTwice(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: []Uplink{
		{Link: "eth0", Gateways: addrs("192.168.1.1")},
		{Link: "eth1", Gateways: addrs("192.168.1.1")},
	}})
	a, b := w.Spec().Uplinks[0].Addresses[0], w.Spec().Uplinks[1].Addresses[0]
	if a.Addr() == b.Addr() || a.Masked() != b.Masked() {
		t.Fatalf("made-up addresses %v and %v", a, b)
	}
	for _, c := range cure(t, w) {
		if c.Rule == nil || c.Rule.Suppress == (rpdb.Suppressor{}) { // main cannot tell the two networks apart
			do(t, w, c)
		}
	}
	for _, o := range sendAll(t, w, w.Probes()) {
		if o.Probe.Device == "" || o.Probe.Protocol == rpdb.TCP {
			checkCure(t, w, o)
		}
	}
}

// TestOutsideAddresses routes by destination.
func TestOutsideAddresses(t *testing.T) {
	t.Parallel()
	other := addrs("192.0.2.77", "2001:db8:77::77")
	w := buildWorld(t, Spec{Uplinks: twoUplinks(), Outside: other})
	do(t, w, cure(t, w)...)
	for _, a := range other {
		f := rpdb.FamilyOf(a)
		do(t, w, rpdb.RuleChange(rpdb.Add, rpdb.Rule{Family: f, Priority: 50, Action: rpdb.ToTable(1002), Selector: rpdb.Selector{To: single(a)}}))
		for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP, rpdb.ICMP} {
			there := send(t, w, Probe{Protocol: protocol, Remote: a})
			if there.Link() != "eth1" || f == rpdb.IPv4 && protocol == rpdb.ICMP && !there.Answered {
				t.Errorf("%v to %v: got %+v", there.Probe, a, there)
			}
			elsewhere := send(t, w, Probe{Protocol: protocol, Family: f})
			if elsewhere.Link() != "eth0" || !elsewhere.Answered {
				t.Errorf("%v: got %+v", elsewhere.Probe, elsewhere)
			}
		}
	}
}

// TestLinkDownAndUp loses an uplink's table and puts it back.
func TestLinkDownAndUp(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()})
	changes := cure(t, w)
	do(t, w, changes...)
	probes := w.Probes()
	for _, link := range []rpdb.LinkName{"eth1", "eth0"} {
		if err := w.LinkDown(link); err != nil {
			t.Fatal(err)
		}
		for _, o := range sendAll(t, w, probes) {
			if o.Link() == link || o.Answered && o.Probe.Device == link {
				t.Errorf("%s is down: %v: got %+v", link, o.Probe, o)
			}
		}
		if err := w.LinkUp(context.Background(), link); err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Route != nil {
				do(t, w, c)
			}
		}
		for _, o := range sendAll(t, w, probes) {
			checkCure(t, w, o)
		}
	}
}

// TestCarrier takes the carrier away and gives it back; nothing on the host is
// lost.
func TestCarrier(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := buildWorld(t, Spec{Uplinks: twoUplinks(), Extra: []Extra{{Link: "wg0"}}})
	do(t, w, cure(t, w)...)
	probes := w.Probes()
	for _, link := range []rpdb.LinkName{"eth1", "wg0"} {
		if err := w.CarrierDown(ctx, link); err != nil {
			t.Fatal(err)
		}
		for _, o := range sendAll(t, w, probes) {
			if o.Link() == link {
				t.Errorf("%s has no carrier: %v: got %+v", link, o.Probe, o)
			}
		}
		if err := w.CarrierUp(ctx, link); err != nil {
			t.Fatal(err)
		}
		for _, o := range sendAll(t, w, probes) {
			checkCure(t, w, o)
		}
	}
}

func TestUnknownLink(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	ctx := context.Background()
	for _, err := range []error{w.LinkDown("eth7"), w.LinkUp(ctx, "eth7"), w.CarrierDown(ctx, "eth7"), w.CarrierUp(ctx, "eth7")} {
		if err == nil || !strings.Contains(err.Error(), `interface "eth7": not in this world`) {
			t.Errorf("got %v", err)
		}
	}
}

// TestPrepareRefuses lists probes that make no sense.
func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	local := netip.MustParseAddr("192.168.0.10")
	for want, p := range map[string]Probe{
		"no family":                       {Protocol: rpdb.TCP},
		"not of the family IPv6":          {Protocol: rpdb.TCP, Family: rpdb.IPv6, Local: local},
		"not of the family IPv4":          {Protocol: rpdb.TCP, Local: local, Remote: w.Outside(rpdb.IPv6)},
		"not one of the outside":          {Protocol: rpdb.TCP, Remote: local},
		"protocol 132":                    {Protocol: 132, Local: local},
		"protocol 58":                     {Protocol: rpdb.ICMPv6, Local: local},
		`uplink "isp-a": an outbound`:     {Protocol: rpdb.TCP, Local: local, Uplink: "isp-a"},
		`uplink "": not in this world`:    {Protocol: rpdb.TCP, Local: local, Direction: Inbound},
		`no address of the host`:          {Protocol: rpdb.TCP, Family: rpdb.IPv4, Direction: Inbound, Uplink: "isp-a"},
		"the kernel answers pings":        {Protocol: rpdb.ICMP, Local: local, Direction: Inbound, Uplink: "isp-a", Mark: 1},
		`prepare probe outbound TCP from`: {Protocol: rpdb.TCP, Local: local, Remote: local},
	} {
		if _, err := w.Prepare(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", p, err, want)
		}
		if _, err := w.Send(context.Background(), p); err == nil {
			t.Errorf("%+v: was sent", p)
		}
	}
	for _, p := range w.Probes() {
		if q, err := w.Prepare(p); err != nil || q != p {
			t.Errorf("prepared again: %+v, %v; before %+v", q, err, p)
		}
	}
}

// TestStrangeSockets fail in ways that are outcomes, not errors.
func TestStrangeSockets(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	const addrNotAvailable = rpdb.Errno(99)
	for _, p := range []Probe{
		{Protocol: rpdb.UDP, Local: netip.MustParseAddr("192.168.0.99")},
		{Protocol: rpdb.TCP, Local: netip.MustParseAddr("2001:db8:a::99"), Direction: Inbound, Uplink: "isp-a"},
	} {
		if o := send(t, w, p); o.Errno != addrNotAvailable || o.Answered {
			t.Errorf("%v: got %+v", p, o)
		}
	}
	if o := send(t, w, Probe{Protocol: rpdb.TCP, Family: rpdb.IPv4, Device: "eth7"}); o.Errno != rpdb.ENODEV {
		t.Errorf("device that is not there: got %+v", o)
	}
}

// TestFixedPorts sends probes that share ports; they wait for each other.
func TestFixedPorts(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	var probes []Probe
	for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP} {
		for _, a := range globals(w.Spec().Uplinks[0].Addresses) {
			for range 10 {
				probes = append(probes,
					Probe{Protocol: protocol, Local: a, RemotePort: 53},
					Probe{Protocol: protocol, Local: a, LocalPort: 443, Direction: Inbound, Uplink: "isp-a"})
			}
		}
	}
	for _, o := range sendAll(t, w, probes) {
		if !o.Answered || o.Link() != "eth0" {
			t.Errorf("%v: got %+v", o.Probe, o)
		}
	}
}

// TestPortFreedLate sends while the port of a probe is still another socket's.
func TestPortFreedLate(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	for _, protocol := range []rpdb.IPProto{rpdb.TCP, rpdb.UDP} {
		s := socketSpec{protocol: protocol, local: netip.AddrPortFrom(w.Outside(rpdb.IPv4), 53), listen: protocol == rpdb.TCP}
		fd, err := openSocket(w.outside.ns, s)
		if err == nil {
			err = s.bind(fd)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(30*time.Millisecond, func() { unix.Close(fd) })
		if o := send(t, w, Probe{Protocol: protocol, Family: rpdb.IPv4, RemotePort: 53}); !o.Answered {
			t.Errorf("got %+v", o)
		}
	}
}

// TestNobodyThere asks for somebody who is not there, for longer than the
// kernel asks by itself: it stays silent, and a probe that waits is told
// nothing.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()})
	p := Probe{Protocol: rpdb.TCP, Family: rpdb.IPv4, Device: "eth1", Timeout: 4 * time.Second}
	q := p
	q.Protocol = rpdb.UDP
	for _, o := range sendAll(t, w, []Probe{p, q}) {
		if o.Answered || o.Errno != 0 || len(o.Departures) > 0 {
			t.Errorf("want silence, got %+v", o)
		}
	}
}

// TestStall keeps a probe from running for longer than it waits: an answer
// that is only late is no loss, and a loss is one in time.
func TestStall(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	const timeout = 30 * time.Millisecond
	for _, p := range w.Probes() {
		p.Timeout = timeout
		x := exchange{world: w, probe: p}
		if err := x.start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * timeout)
		if err := x.loop(); err != nil || !x.answered {
			t.Errorf("%v: answered %v, %v", p, x.answered, err)
		}
		x.close()
	}
	lost := Probe{Protocol: rpdb.UDP, Family: rpdb.IPv4, Timeout: timeout}
	drop := rpdb.Rule{Family: rpdb.IPv4, Priority: 50, Action: rpdb.Blackhole(), Selector: rpdb.Selector{IIF: lan}}
	if err := addRules(t.Context(), w.gateways[0].conn, drop); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 10 {
		if o := send(t, w, lost); o.Answered || o.RTT != 0 || len(o.Departures) != 1 || o.Departures[0].Legal != 1 {
			t.Errorf("got %+v", o)
		}
	}
	if took := time.Since(begin); took < 10*timeout || took > time.Minute {
		t.Errorf("ten losses took %v", took)
	}
}

// TestCancel ends the context in the middle of probes that nobody answers.
func TestCancel(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()})
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	probes := w.Probes()
	for i := range probes {
		probes[i].Timeout = time.Minute
	}
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	begin := time.Now()
	if _, err := w.SendAll(ctx, probes); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v to stop", took)
	}
	if _, err := w.Send(ctx, probes[0]); !errors.Is(err, cause) {
		t.Errorf("ended context: got %v", err)
	}
	if _, err := Build(ctx, Spec{}); err == nil {
		t.Error("built with an ended context")
	}
}

// TestRefusesHostInUse builds twice in one namespace.
func TestRefusesHostInUse(t *testing.T) {
	t.Parallel()
	w := buildWorld(t, Spec{Uplinks: twoUplinks()[:1]})
	if _, err := Build(context.Background(), Spec{Host: w.Host()}); err == nil || !strings.Contains(err.Error(), `interface "eth0": in use`) {
		t.Errorf("got %v", err)
	}
	if o := send(t, w, w.Probes()[0]); !o.Answered {
		t.Errorf("the first world is broken: %+v", o)
	}
}

// TestCloseLeavesNothing builds, probes and closes again and again in one
// namespace, and compares descriptors, goroutines and interfaces. It must not
// run beside other tests.
func TestCloseLeavesNothing(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	host, err := kernel.NewNetNS()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	cycle := func() {
		w, err := Build(context.Background(), Spec{Uplinks: twoUplinks(), Extra: []Extra{{Link: "wg0"}}, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		probes := slices.DeleteFunc(w.Probes(), func(p Probe) bool { return p.Local.IsValid() || p.Device != "" })
		for _, o := range sendAll(t, w, probes) {
			if !o.Answered {
				t.Errorf("%v: got %+v", o.Probe, o)
			}
		}
		for range 2 {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	cycle()
	descriptors, goroutines := countDescriptors(t), runtime.NumGoroutine()
	for range 3 {
		cycle()
	}
	if n := countDescriptors(t); n != descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	conn, err := kernel.Open(kernel.Options{NetNS: host})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := checkFresh(context.Background(), conn); err != nil {
		t.Error(err)
	}
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestFailedBuildLeavesNothing fails late, with an address that the kernel
// refuses.
func TestFailedBuildLeavesNothing(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	host, err := kernel.NewNetNS()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	bad := Uplink{Link: "eth2", Addresses: prefixes("::1/128")}
	var descriptors int
	for i := range 3 {
		_, err := Build(context.Background(), Spec{Host: host, Uplinks: append(twoUplinks(), bad)})
		if want := `build sandbox: uplink "eth2": add address ::1/128 on "eth2": cannot assign requested address`; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if i == 0 {
			descriptors = countDescriptors(t)
		}
	}
	if n := countDescriptors(t); n != descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
}
