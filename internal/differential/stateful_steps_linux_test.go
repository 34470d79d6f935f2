package differential

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/internal/corpus"
)

// look is the step at which a follower takes in what happened since the last one.
const look = "# look"

// script makes random commands about one small world. They are made without
// looking at what became of the ones before: what the kernel refuses then is part
// of the fun.
type script struct {
	g        *corpus.Generator
	plan     *rpdb.Snapshot // whose rules, routes and addresses come and go
	families [2]rpdb.Family // whose decisions can be foreseen
	lines    []string
}

func (s *script) add(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *script) chance(n int) bool { return s.g.Number(n) == 0 }

func choose[T any](s *script, from []T) T { return from[s.g.Number(len(from))] }

func (s *script) family() rpdb.Family { return rpdb.Families()[s.g.Number(2)] }

// newScript makes a world. Where it has source-specific routes, IPv6 decisions are
// no longer foreseen: when a plain route of the same prefix goes, or is changed in
// vain, the kernel no longer finds them, though it lists them (6.18,
// fib6_repair_tree).
func newScript(g *corpus.Generator) *script {
	s := &script{g: g, plan: g.Snapshot(), families: rpdb.Families()}
	if s.chance(3) {
		s.families = [2]rpdb.Family{rpdb.IPv4, rpdb.IPv4}
	} else {
		s.plan.Routes = slices.DeleteFunc(s.plan.Routes, func(r rpdb.Route) bool { return r.Src.IsValid() })
	}
	return s
}

// flows makes flows that can be foreseen.
func (s *script) flows() (flows []rpdb.Flow) {
	for _, f := range s.families {
		for range flowsPerLook / 2 {
			aimed, _, _ := s.g.Aimed(f, s.plan.Rules)
			flows = append(flows, s.g.Flow(f), aimed)
		}
	}
	return flows
}

// begin builds the interfaces with their addresses.
func (s *script) begin() {
	s.add("sysctl net.ipv4.ip_forward=1")
	s.add("sysctl net.ipv6.conf.all.forwarding=1")
	if s.chance(4) { // the nexthops of an object are then not told with a route
		s.add("sysctl net.ipv4.nexthop_compat_mode=0")
	}
	for i := range 3 {
		s.cable(i)
	}
	for _, a := range s.plan.Addresses {
		if a.Link != 1 {
			s.add("ip addr add %v dev %s nodad", a.Prefix, s.plan.LinkName(a.Link))
		}
	}
	for _, o := range s.plan.Nexthops {
		s.object("add", o)
	}
	for range 20 {
		s.route()
		s.rule()
	}
	s.add(look)
}

// cable adds an interface whose carrier hangs on its peer.
func (s *script) cable(i int) {
	s.add("ip link add e%d type veth peer name p%d", i, i)
	s.add("sysctl net.ipv6.conf.p%d.disable_ipv6=1", i)
	s.add("sysctl net.ipv6.conf.e%d.accept_dad=0", i)
	s.add("sysctl net.ipv6.conf.e%d.addr_gen_mode=1", i)
	s.add("ip link set e%d up", i)
	s.add("ip link set p%d up", i)
}

// step adds one change.
func (s *script) step() {
	switch n := s.g.Number(100); {
	case n < 28:
		s.rule()
	case n < 30:
		s.add("ip %s rule flush", s.family().Flag())
	case n < 62:
		s.route()
	case n < 64:
		if f, t := s.family(), choose(s, s.plan.Routes).Table; f == rpdb.IPv4 || t != rpdb.TableLocal { // see route
			s.add("ip %s route flush table %d", f.Flag(), t)
		}
	case n < 74:
		s.address()
	case n < 85:
		s.link()
	case n < 89:
		s.neighbour()
	case n < 96:
		s.object(choose(s, []string{"add", "add", "replace", "replace", "del"}), choose(s, s.plan.Nexthops))
	default:
		s.setting()
	}
}

func (s *script) rule() {
	r := choose(s, s.plan.Rules)
	if n, _ := r.Suppress.PrefixLength.Get(); n < 0 {
		return // ip has no words for it
	}
	r.Flags &^= r.State()
	op := rpdb.Add
	if s.chance(3) {
		op = rpdb.Delete
	}
	s.add("%s", iproute2.RuleCommand(op, r, rpdb.Names{}))
}

func (s *script) route() {
	r := choose(s, s.plan.Routes)
	r.Nexthops = slices.Clone(r.Nexthops)
	for i := range r.Nexthops {
		r.Nexthops[i].Flags = 0
	}
	if r.NexthopID != 0 {
		r.Nexthops = nil
	}
	verbs := []string{"add", "add", "append", "append", "prepend", "replace", "replace", "change", "del", "del"}
	if r.Protocol == rpdb.ProtocolKernel {
		if !s.chance(8) || r.Type == rpdb.RouteMulticast { // which tells that IPv6 is switched off
			return
		}
		verbs = []string{"del"}
	}
	line := iproute2.RouteCommand(rpdb.Add, r, iproute2.RouteView{LinkName: s.plan.LinkName})
	verb := choose(s, verbs)
	s.add("%s", strings.Replace(line, "route add", "route "+verb, 1))
}

func (s *script) address() {
	a := choose(s, s.plan.Addresses)
	if a.Link == 1 {
		a.Prefix = choose(s, []netip.Prefix{netip.MustParsePrefix("10.9.9.9/32"), netip.MustParsePrefix("2001:db8:9::9/128"), a.Prefix})
	}
	link := s.plan.LinkName(a.Link)
	switch s.g.Number(5) {
	case 0, 1:
		s.add("ip addr del %v dev %s", a.Prefix, link)
	case 2:
		s.add("ip addr del %v dev %s", a.Prefix, link)
		s.add("ip addr add %v dev %s nodad", a.Prefix, link)
	case 3:
		s.add("ip addr add %v dev %s nodad noprefixroute", a.Prefix, link)
	default:
		s.add("ip addr add %v dev %s nodad", a.Prefix, link)
	}
}

func (s *script) link() {
	i := s.g.Number(3)
	switch s.g.Number(14) {
	case 0, 1:
		s.add("ip link set e%d down", i)
	case 2, 3, 4:
		s.add("ip link set e%d up", i)
	case 5:
		s.add("ip link set p%d down", i)
	case 6, 7:
		s.add("ip link set p%d up", i)
	case 8:
		s.add("ip link set e%d down", i)
		s.add("ip link set e%d up", i)
	case 9:
		s.add("ip link set e%d name x%d", i, i)
	case 10, 11:
		s.add("ip link set x%d name e%d", i, i)
	case 12:
		s.add("ip link set e%d group %d", i, s.g.Number(3))
		s.add("ip link set e%d mtu %d", i, 1400+s.g.Number(3))
	case 13:
		if s.chance(2) {
			s.add("ip link del e%d", i)
		}
		s.cable(i)
	}
}

func (s *script) neighbour() {
	if len(s.plan.Neighbours) == 0 {
		return
	}
	n := choose(s, s.plan.Neighbours)
	link := s.plan.LinkName(n.Link)
	switch {
	case s.chance(3):
		s.add("ip neigh del %v dev %s", n.Addr, link)
	case n.State == rpdb.NeighbourFailed:
		s.add("ip neigh replace %v dev %s nud failed", n.Addr, link)
	default:
		s.add("ip neigh replace %v dev %s lladdr 02:00:00:00:00:%02x nud permanent", n.Addr, link, n.Link)
	}
}

// object adds, replaces or deletes a nexthop object, with fewer members or another
// gateway now and then.
func (s *script) object(verb string, o rpdb.NexthopObject) {
	line := fmt.Sprintf("ip nexthop %s id %d", verb, o.ID)
	switch {
	case verb == "del":
	case o.Blackhole:
		line = fmt.Sprintf("ip %s nexthop %s id %d blackhole", o.Family.Flag(), verb, o.ID)
	case len(o.Group) > 0:
		members := make([]string, 0, len(o.Group))
		for _, m := range o.Group {
			if len(members) == 0 || !s.chance(3) {
				members = append(members, fmt.Sprintf("%d,%d", m.ID, m.Weight))
			}
		}
		line += " group " + strings.Join(members, "/")
	default:
		via := o.Nexthop.Via
		if s.chance(3) {
			via = via.Next()
		}
		line += fmt.Sprintf(" via %v dev %s", via, s.plan.LinkName(o.Nexthop.Link))
	}
	s.add("%s", line)
}

func (s *script) setting() {
	link := choose(s, []string{"e0", "e1", "e2", "all"})
	switch s.g.Number(12) {
	case 0:
		s.add("sysctl net.ipv4.conf.%s.rp_filter=%d", link, s.g.Number(3))
	case 1, 2:
		s.add("sysctl net.ipv4.conf.%s.ignore_routes_with_linkdown=%d", link, s.g.Number(2))
	case 3:
		s.add("sysctl net.ipv6.conf.%s.ignore_routes_with_linkdown=%d", link, s.g.Number(2))
	case 4:
		s.add("sysctl net.ipv4.conf.%s.%s=%d", link, choose(s, []string{"accept_local", "src_valid_mark", "route_localnet", "send_redirects", "promote_secondaries"}), s.g.Number(2))
	case 5:
		s.add("sysctl net.ipv4.ip_forward=%d", min(1, s.g.Number(4)))
	case 6:
		s.add("sysctl net.ipv6.conf.all.forwarding=%d", min(1, s.g.Number(4)))
	case 7:
		s.add("sysctl net.ipv%d.fib_multipath_hash_policy=%d", choose(s, []int{4, 6}), s.g.Number(2))
		s.add("sysctl net.ipv4.fib_multipath_hash_seed=%d", s.g.Number(1000))
	case 8:
		s.add("sysctl net.ipv4.fib_multipath_use_neigh=%d", s.g.Number(2))
	case 9:
		s.add("sysctl net.ipv6.route.skip_notify_on_dev_down=%d", s.g.Number(2))
	default:
		i := s.g.Number(3)
		if s.chance(2) {
			s.add("ip -6 addr flush dev e%d", i)
			s.add(look)
		}
		// With the setting above and without addresses, nothing at all tells of it.
		s.add("sysctl net.ipv6.route.skip_notify_on_dev_down=0")
		s.add("sysctl net.ipv6.conf.e%d.disable_ipv6=%d", i, min(1, s.g.Number(3)))
	}
}
