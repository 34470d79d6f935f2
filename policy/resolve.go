package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// Resolve returns what the policy means on the host of the snapshot: rules in
// the order of the walk, routes, tables, and what waits. Names are those of
// the host's rt_tables, rt_realms and group files; the names of the document
// come before them. Neither argument is modified or kept.
//
// Waiting is what the host does not have now but may get: an interface, an
// address, or one that is up or no longer tentative. An error, an [ErrorList]
// with places in the document, is what no change of links brings right; the
// Desired is then empty, and nothing must be done.
//
// The result is a function of the arguments: resolving again gives the same.
// Table numbers that the document leaves open are chosen in its order; an
// uplink or a table keeps the number that rules of ours on the host show for
// it, so that adding or reordering some renumbers no other.
func (d *Document) Resolve(s *rpdb.Snapshot, n rpdb.Names) (rpdb.Desired, error) {
	return d.resolve(&resolver{host: s, names: n})
}

// ResolveInForce is Resolve for a policy that was applied before. A gateway that
// is in no network of its interface was once, so that part waits as if the address
// were missing: one uplink that moved keeps no other from being repaired.
func (d *Document) ResolveInForce(s *rpdb.Snapshot, n rpdb.Names) (rpdb.Desired, error) {
	return d.resolve(&resolver{host: s, names: n, inForce: true})
}

func (d *Document) resolve(r *resolver) (rpdb.Desired, error) {
	r.doc, r.file = d, d.File
	r.numberTables()
	r.resolveUplinks()
	r.resolveTables()
	r.resolveRules()
	if err := r.err(); err != nil {
		return rpdb.Desired{}, err
	}
	return r.out, nil
}

// resolver collects what one Resolve makes.
type resolver struct {
	reporter
	doc   *Document
	host  *rpdb.Snapshot
	names rpdb.Names
	out   rpdb.Desired
	// inForce says that the policy was right on this host before.
	inForce bool

	tables uplinkTables
	byName map[string]rpdb.TableID // the tables of the document
	ids    map[rpdb.TableID]bool
	parts  []uplinkPart
	// live are the tables that the host uses, and looked those that rules of
	// ours look up, each found when first asked for.
	live, looked map[rpdb.TableID]bool
}

// wait adds a part that waits for the host.
func (r *resolver) wait(name string, f rpdb.Family, t rpdb.TableID, format string, args ...any) {
	r.out.Waiting = append(r.out.Waiting, rpdb.Waiting{Name: name, Reason: printable(fmt.Sprintf(format, args...)), Family: f, Table: t})
}

// resolveRules adds the rules of the list, and those of the uplinks where they
// stand in it.
func (r *resolver) resolveRules() {
	for i, rule := range r.doc.Rules {
		if i == r.doc.UplinksAt {
			r.uplinkRules()
		}
		r.resolveRule(rule)
	}
	if r.doc.UplinksAt >= len(r.doc.Rules) {
		r.uplinkRules()
	}
}

// resolveRule adds one rule for each of its families.
func (r *resolver) resolveRule(doc Rule) {
	want := rpdb.DesiredRule{Name: doc.Name, Rule: rpdb.Rule{
		Selector: doc.Selector,
		Action:   r.action(doc),
		Suppress: rpdb.Suppressor{PrefixLength: doc.SuppressPrefixLength, IfGroup: r.ifGroup(doc)},
		Realms:   r.realms(doc),
		Protocol: rpdb.ProtocolRPDB,
	}}
	want.Rule.Priority, want.Pinned = doc.Priority.Get()
	want.Adopts = r.protocols(doc.Adopt)
	if doc.Goto.IsSet() {
		want.GotoName, want.Rule.Action = r.gotoTarget(doc.Goto.Value)
	}
	for _, f := range doc.Families() {
		want.Rule.Family = f
		if doc.NAT.IsSet() {
			want = r.translated(doc, want)
		}
		r.out.Rules = append(r.out.Rules, want)
	}
}

// protocols returns the numbers of the protocols that something is adopted from.
func (r *resolver) protocols(adopt []Located[string]) []rpdb.Protocol {
	var list []rpdb.Protocol
	for _, a := range adopt {
		p, ok := r.names.ProtocolByName(a.Value)
		switch {
		case !ok:
			r.reportAt(a.Position, "adopt", a.Text, bad("no protocol has this name on the host").try("write its number"))
		case p == rpdb.ProtocolRPDB:
			r.reportAt(a.Position, "adopt", a.Text, bad("the protocol of what a policy has made itself"))
		case p == rpdb.ProtocolKernel:
			r.reportAt(a.Position, "adopt", a.Text, bad("what the kernel makes it makes again"))
		default:
			list = append(list, p)
		}
	}
	return list
}

// gotoTarget returns the name of a target whose priority the plan allots, or
// the goto to a priority that is known.
func (r *resolver) gotoTarget(text string) (string, rpdb.Action) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return "", rpdb.Goto(rpdb.Priority(n))
	}
	for _, target := range r.doc.Rules {
		if pin, ok := target.Priority.Get(); ok && target.Name == text {
			return "", rpdb.Goto(pin)
		}
	}
	return text, rpdb.Goto(0)
}

func (r *resolver) action(doc Rule) rpdb.Action {
	if !doc.Lookup.IsSet() {
		return doc.Action
	}
	t, ok := r.table(doc.Lookup.Value)
	if !ok {
		r.reportAt(doc.Lookup.Position, "lookup", doc.Lookup.Text, r.unknownTable(doc.Lookup.Value))
	}
	return rpdb.ToTable(t)
}

// table returns the number of a table that is known: of the document, of the
// names, of the kernel, or one that has routes on the host.
func (r *resolver) table(text string) (rpdb.TableID, bool) {
	if id, ok := r.byName[text]; ok {
		return id, true
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return r.names.TableByName(text)
	}
	id := rpdb.TableID(n)
	return id, r.ids[id] || r.names.Tables[id] != "" || isKernelTable(id) || r.inUse(id)
}

func isKernelTable(t rpdb.TableID) bool { return rpdb.TableDefault <= t && t <= rpdb.TableLocal }

// inUse reports whether a table has routes on the host, is a VRF's, or is
// looked up by a rule that stands: what was applied stays right when the
// routes of others go, as they do with their interface.
func (r *resolver) inUse(t rpdb.TableID) bool {
	if r.live == nil {
		r.live = map[rpdb.TableID]bool{}
		for _, route := range r.host.Routes {
			r.live[route.Table] = true
		}
		for _, l := range r.host.Links {
			r.live[l.VRFTable] = true
		}
		for _, rule := range r.host.Rules {
			r.live[rule.Action.Table()] = true
		}
	}
	return r.live[t]
}

func (r *resolver) unknownTable(text string) *problem {
	words := []string{"main", "local", "default"}
	for name := range r.byName {
		words = append(words, name)
	}
	why := bad("no such table")
	if near := nearestSorted(text, words); near != "" {
		return why.try("did you mean %q?", near)
	}
	return why.try("define it under tables; a table that is not there would be passed over silently")
}

func (r *resolver) ifGroup(doc Rule) rpdb.Opt[uint32] {
	if !doc.SuppressIfGroup.IsSet() {
		return rpdb.Opt[uint32]{}
	}
	g, ok := r.names.GroupByName(doc.SuppressIfGroup.Value)
	if !ok {
		r.reportAt(doc.SuppressIfGroup.Position, "suppress_ifgroup", doc.SuppressIfGroup.Text, bad("no interface group has this name on the host"))
	}
	return rpdb.Some(g)
}

func (r *resolver) realms(doc Rule) rpdb.Realms {
	if !doc.Realms.IsSet() {
		return 0
	}
	from, to, both := strings.Cut(doc.Realms.Value, "/")
	if !both {
		from, to = "0", from
	}
	return rpdb.NewRealms(r.realm(doc.Realms, from), r.realm(doc.Realms, to))
}

func (r *resolver) realm(at Located[string], text string) uint16 {
	v, ok := r.names.RealmByName(text)
	switch {
	case !ok:
		r.reportAt(at.Position, "realms", at.Text, bad("no realm is called %q on the host", text))
	case rpdb.IsCopyRealm(v) && slices.ContainsFunc(r.doc.Rules, func(o Rule) bool { return o.NAT.IsSet() }):
		r.reportAt(at.Position, "realms", at.Text, bad("the realm %d is one of those by which packets of rules with nat are known", v))
	}
	return v
}

// networkOf returns the network that an address connects: that of its peer on
// a point-to-point link, else its own.
func networkOf(a rpdb.Address) netip.Prefix {
	if a.Peer.IsValid() && a.Peer != a.Prefix.Addr() {
		return netip.PrefixFrom(a.Peer, a.Prefix.Bits()).Masked()
	}
	return a.Prefix.Masked()
}

// unusableWord says in a word why an address cannot be used yet.
func unusableWord(a rpdb.Address) string {
	if a.Flags&rpdb.AddressDADFailed != 0 {
		return "dadfailed: another host has it"
	}
	return "tentative"
}
