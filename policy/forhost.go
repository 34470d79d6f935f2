package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/resident"
)

// ForHost returns the text of a policy for the host of a snapshot: an uplink for
// each interface that has a gateway, and comments that say where it was found,
// what else is behind which interface, which rules are there and whose they look
// like, and what a snapshot cannot tell. Gateways are those of default routes in
// the main table and in the tables that rules lead to, of this program or any
// other.
//
// The text parses. Each uplink in it resolves on the host, so nothing of it is an
// error there or waits, but for single addresses that are tentative or doubled
// while others are usable. An interface that cannot be an uplink as it is stands
// in a comment, with the reason. Without any uplink the text is a policy that
// wants nothing.
//
// The result is a function of the arguments, which are neither modified nor kept.
// It is printable ASCII, whatever the names of interfaces and tables hold.
func ForHost(s *rpdb.Snapshot, n rpdb.Names) string {
	v := newSurvey(s, n)
	return v.text()
}

// survey is what was found out about a host.
type survey struct {
	host     *rpdb.Snapshot
	names    rpdb.Names
	programs []resident.Program // those that are here
	ways     map[rpdb.LinkIndex][]way
	behind   map[rpdb.LinkIndex]networks

	// uplinks are the interfaces that have a way to the world, and gateless
	// those that may have one without anybody having said so.
	uplinks  []candidate
	gateless []candidate
	others   []candidate // where no uplink is looked for
}

// networks are what the main table has behind gateways of an interface.
type networks struct {
	first []netip.Prefix // as many as are shown
	count int
}

// way is a default route by one interface, as one of its nexthops has it.
type way struct {
	family   rpdb.Family
	via      netip.Addr // invalid: the route has no gateway
	peer     bool       // via is the other end of the link
	learned  bool       // nobody wrote via down: it may change by itself
	onlink   bool       // it is on the link, by the word of this route or of one to via alone
	table    rpdb.TableID
	rank     int // of the table, in the order in which they are looked up
	metric   uint32
	protocol rpdb.Protocol
}

// candidate is an interface and what is to be said about it.
type candidate struct {
	link   rpdb.Link
	addrs  []rpdb.Address
	uplink Uplink // with a gateway at least, if it is one
	chosen []way  // the way of each gateway
	notes  []string
}

func newSurvey(s *rpdb.Snapshot, n rpdb.Names) *survey {
	v := &survey{
		host: s, names: n, programs: resident.On(s),
		ways: map[rpdb.LinkIndex][]way{}, behind: map[rpdb.LinkIndex]networks{},
	}
	v.findWays()
	links := slices.Clone(s.Links)
	slices.SortStableFunc(links, func(a, b rpdb.Link) int {
		return cmp.Or(v.compareWays(a, b), cmp.Compare(a.Index, b.Index))
	})
	for _, l := range links {
		v.sort(l)
	}
	return v
}

// tablesOf ranks the tables of a family in which gateways are looked for: main,
// which hosts are set up by, before the others in the order of the walk. The
// tables of programs that are known lead to those programs.
func (v *survey) tablesOf(f rpdb.Family) map[rpdb.TableID]int {
	ranks := map[rpdb.TableID]int{rpdb.TableMain: 0}
	for _, r := range v.host.RulesOf(f) {
		t := r.Action.Table()
		if _, ok := ranks[t]; ok || r.Action.Type() != rpdb.ActionTable || t == rpdb.TableUnspec || t == rpdb.TableLocal {
			continue
		}
		if !slices.ContainsFunc(v.programs, func(p resident.Program) bool { return p.HasTable(t) }) {
			ranks[t] = len(ranks)
		}
	}
	return ranks
}

// findWays finds the default routes, and what else main has by a gateway.
func (v *survey) findWays() {
	ranks := map[rpdb.Family]map[rpdb.TableID]int{}
	for _, f := range rpdb.Families() {
		ranks[f] = v.tablesOf(f)
	}
	for _, r := range v.host.Routes {
		rank, looked := ranks[r.Family][r.Table]
		if !looked || r.Type != rpdb.RouteUnicast {
			continue
		}
		for _, n := range r.Nexthops {
			if !r.IsDefault() {
				if n.Via.IsValid() && r.Table == rpdb.TableMain {
					v.addBehind(n.Link, r.Dst)
				}
				continue
			}
			w := way{family: r.Family, via: n.Via, table: r.Table, rank: rank, metric: r.Metric, protocol: r.Protocol}
			if !w.via.IsValid() {
				w.via = peerOn(v.host, n.Link, r.Family)
				w.peer = w.via.IsValid()
			}
			w.learned = v.isLearned(w, n.Link)
			w.onlink = w.via.IsValid() && (n.Flags&rpdb.NexthopOnlink != 0 || v.hasOwnRoute(w, n.Link))
			v.ways[n.Link] = append(v.ways[n.Link], w)
		}
	}
	for _, ways := range v.ways {
		slices.SortStableFunc(ways, way.compare)
	}
}

// isLearned reports whether a gateway is what DHCP, a router advertisement or the
// other end of PPP said, so that another may come in its place: by the protocol of
// the route or, since not every DHCP client sets that, by a lifetime of the address.
func (v *survey) isLearned(w way, l rpdb.LinkIndex) bool {
	if w.table != rpdb.TableMain {
		return false
	}
	link, _ := v.host.Link(l)
	return w.protocol == rpdb.ProtocolDHCP || w.protocol == rpdb.ProtocolRA || w.peer && link.Kind == "ppp" || w.byLease(v.host, l)
}

// hasOwnRoute reports whether a route without a gateway leads to that of a default
// route by its interface.
func (v *survey) hasOwnRoute(w way, l rpdb.LinkIndex) bool {
	link, _ := v.host.Link(l)
	r := resolver{host: v.host}
	return r.onLinkRoute(w.via, link, w.table)
}

// byLease reports whether a script set the route by an IPv4 address that will run
// out.
func (w way) byLease(s *rpdb.Snapshot, l rpdb.LinkIndex) bool {
	return w.protocol == rpdb.ProtocolBoot && slices.ContainsFunc(s.AddressesOf(rpdb.IPv4, l), func(a rpdb.Address) bool {
		return a.Valid != 0 && networkOf(a).Contains(w.via)
	})
}

func (v *survey) addBehind(l rpdb.LinkIndex, p netip.Prefix) {
	n := v.behind[l]
	if slices.Contains(n.first, p) {
		return // the same with another metric, or by another gateway
	}
	if n.count++; len(n.first) < shownNetworks {
		n.first = append(n.first, p)
	}
	v.behind[l] = n
}

// compare orders ways as the host tries them, as far as tables and metrics say.
func (w way) compare(o way) int {
	return cmp.Or(cmp.Compare(w.family, o.family), cmp.Compare(w.rank, o.rank), cmp.Compare(w.metric, o.metric))
}

// compareWays puts the interface first that packets without a source of their own
// take: the rehearsal of a policy sends them by its first uplink.
func (v *survey) compareWays(a, b rpdb.Link) int {
	x, y := v.ways[a.Index], v.ways[b.Index]
	if len(x) == 0 || len(y) == 0 {
		return cmp.Compare(len(y), len(x))
	}
	return x[0].compare(y[0])
}

// sort finds out what an interface is to the policy.
func (v *survey) sort(l rpdb.Link) {
	c := candidate{link: l}
	r := resolver{host: v.host}
	for _, f := range rpdb.Families() {
		c.addrs = append(c.addrs, r.liveAddresses(f, l)...)
	}
	master, _ := v.host.Link(l.Master)
	at := slices.IndexFunc(v.programs, func(p resident.Program) bool { return p.HasLink(l.Name) })
	ways := v.ways[l.Index]
	switch {
	case l.IsLoopback() || len(ways) == 0 && len(c.addrs) == 0:
	case at >= 0:
		c.note("looks like an interface of %s", v.programs[at].Name)
		v.others = append(v.others, c)
	case l.VRFTable != 0 || master.VRFTable != 0:
		c.note("belongs to a VRF, whose table decides about its packets")
		v.others = append(v.others, c)
	case len(ways) > 0:
		v.propose(&c, ways)
		v.uplinks = append(v.uplinks, c)
	case inside(l.Kind):
		v.others = append(v.others, c)
	default:
		v.gateless = append(v.gateless, c)
	}
}

// inside reports whether interfaces of a kind lead to what is on the host itself,
// or into a tunnel, as long as no default route says something else.
func inside(kind string) bool {
	return slices.Contains([]string{
		"bridge", "dummy", "ifb", "ipip", "ip6tnl", "gre", "gretap", "ip6gre", "ip6gretap", "sit", "vti", "vti6", "xfrm",
		"tun", "vxlan", "geneve", "wireguard",
	}, kind)
}

func (c *candidate) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// propose makes an uplink of an interface, with the first gateway of each family
// that the host lets it have.
func (v *survey) propose(c *candidate, ways []way) {
	for _, f := range rpdb.Families() {
		var tried []netip.Addr
		done := false
		for _, w := range ways {
			if w.family != f || slices.Contains(tried, w.via) {
				continue
			}
			tried = append(tried, w.via)
			if done {
				c.note("left out: %s: an uplink has one gateway in each family", v.wayText(w))
				continue
			}
			u, why, waits := v.uplinkBy(c, w)
			if why != "" {
				c.note("left out: %s: %s", v.wayText(w), why)
				continue
			}
			if waits != "" {
				c.note("waits for now: %s", waits)
			}
			done = true
			c.uplink.Interface, c.uplink.Name = u.Interface, u.Name
			c.uplink.Onlink = c.uplink.Onlink || u.Onlink
			c.uplink.Gateways = append(c.uplink.Gateways, u.Gateways...)
			c.chosen = append(c.chosen, w)
		}
		if len(tried) == 0 && c.hasAddress(f) {
			c.note("no %v gateway is known: if it has one, add it to the list", f)
		}
	}
}

// hasAddress reports whether the interface has an address of a family.
func (c *candidate) hasAddress(f rpdb.Family) bool {
	return slices.ContainsFunc(c.addrs, func(a rpdb.Address) bool { return rpdb.FamilyOf(a.Prefix.Addr()) == f })
}

// uplinkBy returns an uplink with one gateway, or why there cannot be one; and
// what it waits for though the rest of it is there.
func (v *survey) uplinkBy(c *candidate, w way) (u Uplink, why, waits string) {
	switch {
	case !w.via.IsValid():
		return u, fmt.Sprintf("an uplink has one; a table of the policy can lead there, with the route {to: default, dev: %s}", Word(string(c.link.Name))), ""
	case rpdb.FamilyOf(w.via) != w.family:
		return u, "an uplink has a gateway of the same family", ""
	}
	u = Uplink{Interface: c.link.Name}
	v.ownName(&u)
	fixed := u
	u.Gateways, fixed.Gateways = gatewayList(Gateway{Family: w.family}), gatewayList(Gateway{w.family, w.via})
	if w.learned {
		if why, waits, via := v.judge(u, w.family); why == "" && via == w.via {
			return u, "", waits
		}
	}
	why, waits, _ = v.judge(fixed, w.family)
	if why != "" && w.onlink && canBeOffNetwork(fixed.Gateways[0]) {
		fixed.Onlink = true
		why, waits, _ = v.judge(fixed, w.family)
	}
	return fixed, why, waits
}

func gatewayList(g Gateway) []Located[Gateway] { return []Located[Gateway]{{Value: g}} }

// ownName gives an uplink a name of its own where that of its interface cannot
// name its table, or names another one on this host.
func (v *survey) ownName(u *Uplink) {
	name := string(u.Interface)
	reserved := slices.Contains([]string{"main", "local", "default", "unspec", "all"}, name)
	if !reserved && !v.namesTable(name) {
		return
	}
	u.Name = "uplink-" + name
	if _, bad := parseName(u.Name); bad != nil {
		link, _ := v.host.LinkByName(u.Interface)
		u.Name = fmt.Sprintf("uplink-%d", link.Index)
	}
	taken := func(name string) bool {
		_, ok := v.host.LinkByName(rpdb.LinkName(name))
		return ok || v.namesTable(name)
	}
	for taken(u.Name) {
		u.Name += "-x"
	}
}

// namesTable reports whether a name is that of a table on this host that an
// uplink would not get by itself.
func (v *survey) namesTable(name string) bool {
	for t, known := range v.names.Tables {
		if known == name && (t < firstUplinkTable || t > lastUplinkTable) {
			return true
		}
	}
	return false
}

// judge asks the parser and the resolver what they think of an uplink with a
// gateway of one family: why it cannot be, what it waits for though the rest of it
// is there, and by which gateway it leads.
func (v *survey) judge(u Uplink, f rpdb.Family) (why, waits string, via netip.Addr) {
	doc, err := Parse("", []byte("uplinks:\n"+uplinkText(u, "  ")))
	if err != nil {
		return firstReason(err), "", via
	}
	want, err := doc.Resolve(v.host, v.names)
	if err != nil {
		return firstReason(err), "", via
	}
	for _, w := range want.Waiting {
		waits = w.Reason
	}
	at := slices.IndexFunc(want.Routes, func(r rpdb.DesiredRoute) bool { return r.Route.IsDefault() && r.Route.Family == f })
	if at < 0 {
		return waits, "", via
	}
	return "", waits, want.Routes[at].Route.Nexthops[0].Via
}

// firstReason returns what is wrong, and what to do about it.
func firstReason(err error) string {
	var list ErrorList
	if !errors.As(err, &list) {
		return printable(err.Error())
	}
	reason := list[0].Reason
	if list[0].Hint != "" {
		reason += ": " + list[0].Hint
	}
	return reason
}

// Word writes a text, such as the name of an interface, so that YAML reads it as
// this text and as nothing else: bare if that cannot be anything but text, else in
// quotes. The result is printable ASCII. Bytes that are not UTF-8, which YAML
// cannot hold, come out as the replacement character.
func Word(text string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	plain := text != "" && strings.Contains(letters, text[:1])
	for _, r := range text {
		plain = plain && strings.ContainsRune(letters+"0123456789.-_", r)
	}
	if plain && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, text) {
		return text
	}
	return quoted(text)
}
