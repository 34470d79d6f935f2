package cli

import (
	"maps"
	"strings"

	"rpdb"
	"rpdb/cli/names"
	"rpdb/format/iproute2"
)

// files are the name files of the machine, or of the namespace that was asked
// for where it has its own.
func (a *app) files() names.Files { return names.Files{Root: a.root, NetNS: a.netns} }

// loadNames reads the names. What cannot be read costs names and nothing else:
// numbers stand in their place.
func (a *app) loadNames() rpdb.Names {
	if a.textNames != nil {
		return *a.textNames
	}
	n, _ := a.files().Load()
	return withOurs(n)
}

// withOurs returns names with that of our protocol, unless it has another one.
func withOurs(n rpdb.Names) rpdb.Names {
	protocols := map[rpdb.Protocol]string{rpdb.ProtocolRPDB: "rpdb"}
	maps.Copy(protocols, n.Protocols)
	n.Protocols = protocols
	return n
}

// words spells the objects of one host in the words of ip(8), safe to print.
type words struct {
	rules  iproute2.RuleView
	routes iproute2.RouteView
	// hideProtocol leaves out who made a rule.
	hideProtocol bool
	// nat are the translations, which stand behind the rules that they are of.
	nat []rpdb.Translation
}

// newWords returns the words of a host: the names of its interfaces, and those
// of files.
func newWords(linkName func(rpdb.LinkIndex) rpdb.LinkName, n rpdb.Names) words {
	return words{
		rules:  iproute2.RuleView{Names: n},
		routes: iproute2.RouteView{Names: n, LinkName: linkName},
	}
}

func (w words) rule(r rpdb.Rule) string {
	if w.hideProtocol {
		r.Protocol = rpdb.ProtocolUnspec
	}
	return safe(w.rules.Text(r) + natOf(r, w.nat))
}

// route is the line of a route in a listing of its table; each nexthop of a
// multipath route has one more, which is indented.
func (w words) route(r rpdb.Route) string {
	v := w.routes
	v.Hide = iproute2.ColumnTable
	lines := strings.Split(iproute2.Route(r, v), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
		if i > 0 {
			lines[i] = "    " + strings.TrimPrefix(lines[i], "\t")
		}
	}
	return safeLines(strings.Join(lines, "\n"))
}

func (w words) table(t rpdb.TableID) string { return safe(w.rules.Names.Table(t)) }

// change is the command that makes a change, to be pasted into a shell; but for the
// program of a copy, which no ip loads and which stands behind as a comment.
// Only our own protocol stands as a number: elsewhere its name is not known.
func (w words) change(c rpdb.Change) string {
	if c.NAT != nil {
		return natWords(c)
	}
	v := w.routes
	v.Names.Protocols = maps.Clone(v.Names.Protocols)
	delete(v.Names.Protocols, rpdb.ProtocolRPDB)
	return safeLines(iproute2.Change(c, v)) + programOf(c.Route)
}

// programOf names the program of a copy that a route carries, with a blank in
// front, "" for none.
func programOf(r *rpdb.Route) string {
	if r == nil || len(r.Nexthops) == 0 {
		return ""
	}
	if t, ok := r.Nexthops[0].CopyTable(); ok {
		name, _ := rpdb.CopyProgram(t)
		return " # out " + name
	}
	return ""
}
