package differential

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
	"rpdb/kernel/kerneltest"
)

// world is a random world, and the kernel that was brought into its state.
type world struct {
	t      *testing.T
	kernel *kerneltest.Kernel
	lines  []string // as commands, for people
	index  map[rpdb.LinkIndex]rpdb.LinkIndex
	custom map[rpdb.Family]bool // the rules have been changed, which no dump shows
	// settled says that the addresses became usable. On a busy machine they
	// may not in time.
	settled bool
}

// do runs a command and notes it. The kernel refuses some of what the corpus
// makes up, gateways that the rules so far do not lead to among it.
func (w *world) do(line string, c kerneltest.Command) {
	if err := w.kernel.Execute(context.Background(), c); err == nil {
		w.lines = append(w.lines, line)
	}
}

// must is do for commands that cannot fail.
func (w *world) must(lines ...string) {
	w.t.Helper()
	if err := kerneltest.Script(context.Background(), w.kernel, lines...); err != nil {
		w.t.Fatal(err)
	}
	w.lines = append(w.lines, lines...)
}

func build(t *testing.T, s *rpdb.Snapshot) *world {
	w := &world{t: t, kernel: kerneltest.Real(t), index: map[rpdb.LinkIndex]rpdb.LinkIndex{1: 1}, custom: map[rpdb.Family]bool{}}
	w.must("ip link set lo up")
	for _, l := range s.Links[1:] {
		w.link(l)
	}
	w.sysctls(s)
	for _, l := range s.Links[1:] {
		peer := strings.Replace(string(l.Name), "e", "p", 1)
		w.must(fmt.Sprintf("ip link set %s up", l.Name))
		if l.HasCarrier() {
			w.must(fmt.Sprintf("ip link set %s up", peer))
		}
	}
	w.readIndex(s)
	// An address added later stands before the others of its interface.
	for _, a := range slices.Backward(s.Addresses) {
		if a.Link != 1 && a.Prefix.Addr().Is6() {
			w.address(s, a)
		}
	}
	for _, a := range s.Addresses {
		if a.Link != 1 && a.Prefix.Addr().Is4() {
			w.address(s, a)
		}
	}
	w.settle()
	w.neighbours(s)
	w.nexthops(s)
	w.routes(s)
	w.rules(s)
	return w
}

func (w *world) link(l rpdb.Link) {
	peer := strings.Replace(string(l.Name), "e", "p", 1)
	w.must(
		fmt.Sprintf("ip link add %s type veth peer name %s", l.Name, peer),
		fmt.Sprintf("ip link set %s group %d", l.Name, l.Group),
		fmt.Sprintf("sysctl net.ipv6.conf.%s.disable_ipv6=1", peer),
		fmt.Sprintf("sysctl net.ipv6.conf.%s.accept_dad=0", l.Name),
		fmt.Sprintf("sysctl net.ipv6.conf.%s.addr_gen_mode=1", l.Name),
	)
}

func (w *world) readIndex(s *rpdb.Snapshot) {
	now, err := w.kernel.Snapshot(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range s.Links {
		real, _ := now.LinkByName(l.Name)
		w.index[l.Index] = real.Index
	}
}

func (w *world) sysctls(s *rpdb.Snapshot) {
	y := s.Sysctls
	w.must(
		fmt.Sprintf("sysctl net.ipv4.ip_forward=%d", number(y.IPv4Forward)),
		fmt.Sprintf("sysctl net.ipv6.conf.all.forwarding=%d", number(y.IPv6Forward)),
		fmt.Sprintf("sysctl net.ipv4.fib_multipath_hash_policy=%d", y.HashPolicy4),
		fmt.Sprintf("sysctl net.ipv6.fib_multipath_hash_policy=%d", y.HashPolicy6),
		fmt.Sprintf("sysctl net.ipv4.fib_multipath_hash_seed=%d", y.HashSeed),
		fmt.Sprintf("sysctl net.ipv4.fib_multipath_use_neigh=%d", number(y.UseNeigh)),
		"sysctl net.ipv4.conf.all.rp_filter=0",
		fmt.Sprintf("sysctl net.ipv4.conf.all.send_redirects=%d", number(!y.All.NoSendRedirects)),
	)
	for _, l := range s.Links[1:] {
		c := y.Links[l.Name]
		conf := func(key string, v int) { w.must(fmt.Sprintf("sysctl net.ipv4.conf.%s.%s=%d", l.Name, key, v)) }
		conf("rp_filter", int(c.RPFilter))
		conf("src_valid_mark", number(c.SrcValidMark))
		conf("accept_local", number(c.AcceptLocal))
		conf("send_redirects", number(!c.NoSendRedirects))
		conf("route_localnet", number(c.RouteLocalnet))
		conf("ignore_routes_with_linkdown", number(c.IgnoreLinkdown4))
		w.must(fmt.Sprintf("sysctl net.ipv6.conf.%s.ignore_routes_with_linkdown=%d", l.Name, number(c.IgnoreLinkdown6)))
	}
}

// settle waits until the kernel has finished with the addresses: it adds the
// local routes of IPv6 from a work queue.
func (w *world) settle() {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
		now, err := w.kernel.Snapshot(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		if w.settled = settled(now); w.settled {
			return
		}
	}
}

func settled(s *rpdb.Snapshot) bool {
	for _, a := range s.Addresses {
		host := netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
		at := func(r rpdb.Route) bool { return r.Dst == host && r.Type == rpdb.RouteLocal }
		if !a.Usable() || !slices.ContainsFunc(s.Routes, at) {
			return false
		}
	}
	return true
}

// torn reports whether the kernel has not yet told its routes that an
// interface has no carrier, or that it has one again: it does so up to a
// second later.
func torn(s *rpdb.Snapshot) bool {
	for _, r := range s.Routes {
		for _, n := range r.Nexthops {
			l, ok := s.Link(n.Link)
			down := n.Flags&rpdb.NexthopLinkdown != 0
			if ok && r.Type == rpdb.RouteUnicast && l.IsUp() && l.HasCarrier() == down {
				return true
			}
		}
	}
	return false
}

// moved reports whether what a lookup may depend on is not the same in two
// snapshots of one world. Time passes for neighbours: the kernel forgets those
// that failed when there are many of them in all namespaces together, and adds
// those that it talks to itself. Of them only the gateways count, in any order.
func moved(before, after *rpdb.Snapshot) bool {
	b, a := *before, *after
	b.Neighbours, a.Neighbours = gatewaysOf(before), gatewaysOf(after)
	return !reflect.DeepEqual(a, b)
}

// gatewaysOf lists the neighbours that routes lead over, in order.
func gatewaysOf(s *rpdb.Snapshot) []rpdb.Neighbour {
	is := map[netip.Addr]bool{}
	for _, r := range s.Routes {
		for _, n := range r.Nexthops {
			is[n.Via] = true
		}
	}
	for _, o := range s.Nexthops {
		is[o.Nexthop.Via] = true
	}
	var list []rpdb.Neighbour
	for _, n := range s.Neighbours {
		if is[n.Addr] {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b rpdb.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Addr.Compare(b.Addr))
	})
	return list
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *world) address(s *rpdb.Snapshot, a rpdb.Address) {
	name := s.LinkName(a.Link)
	w.do(fmt.Sprintf("ip addr add %v dev %s nodad", a.Prefix, name),
		kerneltest.AddressAdd{Link: name, Prefix: a.Prefix, Options: kernel.AddressOptions{NoDAD: true}})
}

func (w *world) neighbours(s *rpdb.Snapshot) {
	for _, n := range s.Neighbours {
		name := s.LinkName(n.Link)
		c := kerneltest.NeighbourSet{Link: name, Addr: n.Addr, State: n.State}
		if n.State.Valid() {
			c.LLAddr = []byte{2, 0, 0, 0, 0, byte(n.Link)}
		}
		w.do(fmt.Sprintf("ip neigh replace %v dev %s state %#x", n.Addr, name, uint16(n.State)), c)
	}
}

func (w *world) nexthops(s *rpdb.Snapshot) {
	for _, o := range s.Nexthops {
		line := fmt.Sprintf("ip nexthop add id %d", o.ID)
		switch {
		case o.Blackhole:
			line = fmt.Sprintf("ip %s nexthop add id %d blackhole", o.Family.Flag(), o.ID)
			o.Nexthop = rpdb.Nexthop{}
		case len(o.Group) > 0:
			line += " group"
			for _, m := range o.Group {
				line += fmt.Sprintf("/%d,%d", m.ID, m.Weight)
			}
			line = strings.Replace(line, "group/", "group ", 1)
		default:
			line += fmt.Sprintf(" via %v dev %s", o.Nexthop.Via, s.LinkName(o.Nexthop.Link))
			o.Nexthop.Link = w.index[o.Nexthop.Link]
		}
		w.do(line, kerneltest.NexthopAdd{Object: o})
	}
}

func (w *world) routes(s *rpdb.Snapshot) {
	view := iproute2.RouteView{LinkName: func(i rpdb.LinkIndex) rpdb.LinkName {
		for was, is := range w.index {
			if is == i {
				return s.LinkName(was)
			}
		}
		return ""
	}}
	shared := false
	for _, r := range s.Routes {
		if r.Protocol == rpdb.ProtocolKernel {
			continue
		}
		r.Nexthops = slices.Clone(r.Nexthops)
		for i := range r.Nexthops {
			r.Nexthops[i].Link = w.index[r.Nexthops[i].Link]
			r.Nexthops[i].Flags = 0
		}
		if r.NexthopID != 0 {
			r.Nexthops = nil
			if r.Family == rpdb.IPv6 && shared {
				continue // Linux 6.18 answers with whichever of the routes was asked first
			}
			shared = shared || r.Family == rpdb.IPv6
		}
		line := strings.Replace(iproute2.RouteCommand(rpdb.Add, r, view), "route add", "route append", 1)
		w.do(line, kerneltest.RouteCommand{Verb: kerneltest.RouteAppend, Route: r})
	}
}

// rules brings the list into the state of the world. Where it is to be
// customised without a trace, a rule is added and deleted.
func (w *world) rules(s *rpdb.Snapshot) {
	for _, f := range rpdb.Families() {
		want := s.RulesOf(f)
		for _, r := range rpdb.DefaultRules(f) {
			if i := slices.Index(want, r); i >= 0 {
				want = slices.Delete(want, i, i+1)
				continue
			}
			w.rule(rpdb.Delete, r)
		}
		for _, r := range want {
			w.rule(rpdb.Add, r)
		}
		custom := cmp.Or(s.Custom4, s.Custom6) == rpdb.CustomisedYes
		if custom || len(s.RulesOf(f)) < len(rpdb.DefaultRules(f)) {
			probe := rpdb.Rule{Family: f, Priority: 9, Action: rpdb.Nop()}
			w.rule(rpdb.Add, probe)
			w.rule(rpdb.Delete, probe)
		}
	}
}

func (w *world) rule(op rpdb.ChangeOp, r rpdb.Rule) {
	r.Flags &^= r.State()
	before := len(w.lines)
	given := iproute2.Given{Priority: true, Table: true, Action: true}
	w.do(iproute2.RuleCommand(op, r, rpdb.Names{}), kerneltest.RuleCommand{Delete: op == rpdb.Delete, Rule: r, Given: given}) // IPv6 is customised by an add alone.
	if len(w.lines) > before && (op == rpdb.Add || r.Family == rpdb.IPv4) {
		w.custom[r.Family] = true
	}
}

// snapshot reads the state of the kernel, and adds what only the builder of
// the world knows.
func (w *world) snapshot() *rpdb.Snapshot {
	s, err := w.kernel.Snapshot(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	s.Custom4, s.Custom6 = rpdb.CustomisedNo, rpdb.CustomisedNo
	if w.custom[rpdb.IPv4] {
		s.Custom4 = rpdb.CustomisedYes
	}
	if w.custom[rpdb.IPv6] {
		s.Custom6 = rpdb.CustomisedYes
	}
	return s
}
