package networkd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
)

// Oldest is the oldest version of systemd that [Write] writes for.
const Oldest = 252

// Options say whom [Write] writes for.
type Options struct {
	// Version is that of systemd, from [Oldest] on; smaller ones count as that.
	// What a newer one knows too, it reads as an older one.
	Version int
	// Leases are of interfaces that get addresses for a time. networkd has words for
	// their gateways, and none for rules by their addresses.
	Leases []format.Lease
}

// The versions that brought something. That 257 takes a mark 0 with a mask was
// seen; from which one on, it does not say.
const (
	sinceL3MDev   = 256
	sinceGoto     = 257
	sinceMarkZero = 257
)

// Write returns the files of /etc/systemd/network that say what a snapshot
// does, by their paths, and what they cannot say. What is lost is left out as a
// whole: no rule that is written matches more than it did.
//
// The snapshot holds what is to be written: its rules have their final
// priorities, and of the kernel's own rules and routes it has none. Rules of one
// family and priority are all lost, because networkd adds them in no particular
// order, but for those that plainly select no flow that another selects. All rules become static, whoever made them.
func Write(s *rpdb.Snapshot, n rpdb.Names, o Options) ([]format.File, []format.Loss) {
	w := &writer{
		snapshot: s, names: rpdb.Names{Tables: tableNames(n)}, version: max(o.Version, Oldest),
		units: map[rpdb.LinkName]*strings.Builder{}, used: map[rpdb.TableID]bool{},
	}
	w.leases(o.Leases)
	w.links()
	w.routes()
	w.rules()
	return w.files(), w.losses
}

type writer struct {
	snapshot *rpdb.Snapshot
	names    rpdb.Names // of tables that networkd can call so
	version  int
	units    map[rpdb.LinkName]*strings.Builder // what follows [Match], by interface
	used     map[rpdb.TableID]bool
	losses   []format.Loss
}

// tableNames are the names that RouteTable= can give.
func tableNames(n rpdb.Names) map[rpdb.TableID]string {
	names := map[rpdb.TableID]string{}
	taken := map[string]bool{"default": true, "main": true, "local": true}
	for _, id := range slices.Sorted(maps.Keys(n.Tables)) {
		name := n.Tables[id]
		if id != 0 && isPlainName(name) && !taken[name] && (id < rpdb.TableDefault || id > rpdb.TableLocal) {
			names[id], taken[name] = name, true
		}
	}
	return names
}

// isPlainName reports whether a name is of letters, digits, dots, dashes and
// underscores, and begins with a letter.
func isPlainName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || strings.IndexByte("0123456789.-_", c) < 0) {
			return false
		}
	}
	return name != ""
}

// unit returns where the sections of an interface go.
func (w *writer) unit(name rpdb.LinkName) *strings.Builder {
	if w.units[name] == nil {
		w.units[name] = &strings.Builder{}
	}
	return w.units[name]
}

// keys collects the lines of one section.
type keys struct{ strings.Builder }

func (k *keys) add(key, format string, args ...any) {
	fmt.Fprintf(k, key+"="+format+"\n", args...)
}

func (w *writer) section(name rpdb.LinkName, title string, k *keys) {
	fmt.Fprintf(w.unit(name), "\n[%s]\n%s", title, k)
}

func (w *writer) lose(object, reason string) {
	w.losses = append(w.losses, format.Loss{Object: object, Reason: reason})
}

// table returns the word for a table.
func (w *writer) table(t rpdb.TableID) string {
	w.used[t] = true
	return w.names.Table(t)
}

// links writes what the interfaces themselves have: groups and addresses.
func (w *writer) links() {
	for _, l := range w.snapshot.Links {
		if l.Group == 0 {
			continue
		}
		if object := fmt.Sprintf("ip link set %s group %d", quoted(l.Name), l.Group); !isMatchName(string(l.Name)) {
			w.lose(object, noMatch)
		} else if l.Group > 1<<31-1 {
			w.lose(object, "a group is at most 2147483647 in networkd")
		} else {
			k := &keys{}
			k.add("Group", "%d", l.Group)
			w.section(l.Name, "Link", k)
		}
	}
	for _, a := range w.snapshot.Addresses {
		name := w.snapshot.LinkName(a.Link)
		if !isMatchName(string(name)) {
			w.lose(fmt.Sprintf("ip address add %v dev %s", a.Prefix, quoted(name)), noMatch)
			continue
		}
		w.section(name, "Address", addressKeysOf(a))
	}
}

const noMatch = "the name of the interface has no plain form in Name= of [Match]"

// quoted is a name in a message.
func quoted(name rpdb.LinkName) string {
	if isMatchName(string(name)) {
		return string(name)
	}
	return fmt.Sprintf("%q", string(name))
}

func addressKeysOf(a rpdb.Address) *keys {
	k := &keys{}
	k.add("Address", "%v", a.Prefix)
	is4 := a.Prefix.Addr().Is4()
	if a.Peer.IsValid() {
		k.add("Peer", "%v/%d", a.Peer, a.Prefix.Bits())
	}
	if is4 && (a.Scope != rpdb.ScopeGlobal || addressScope(a.Prefix.Addr()) != a.Scope) {
		k.add("Scope", "%v", a.Scope)
	}
	if a.Flags&rpdb.AddressDeprecated != 0 {
		k.add("PreferredLifetime", "0")
	}
	if !is4 && a.Flags&rpdb.AddressNoDAD != 0 {
		k.add("DuplicateAddressDetection", "none")
	}
	return k
}

// files returns the files in the order of their paths.
func (w *writer) files() []format.File {
	var files []format.File
	for name, sections := range w.units {
		files = append(files, format.File{
			Path: "/etc/systemd/network/10-" + string(name) + ".network",
			Text: "[Match]\nName=" + string(name) + "\n" + sections.String(),
		})
	}
	var pairs []string
	for _, id := range slices.Sorted(maps.Keys(w.used)) {
		if name := w.names.Tables[id]; name != "" {
			pairs = append(pairs, fmt.Sprintf("%s:%d", name, id))
		}
	}
	if len(pairs) > 0 {
		files = append(files, format.File{
			Path: "/etc/systemd/networkd.conf.d/10-route-tables.conf",
			Text: "[Network]\nRouteTable=" + strings.Join(pairs, "\nRouteTable=") + "\n",
		})
	}
	slices.SortFunc(files, func(a, b format.File) int { return cmp.Compare(a.Path, b.Path) })
	return files
}

// routeObject and ruleObject are what a loss calls them.
func (w *writer) routeObject(r rpdb.Route) string {
	return iproute2.RouteCommand(rpdb.Add, r, iproute2.RouteView{Names: w.names, LinkName: w.snapshot.LinkName})
}

func (w *writer) ruleObject(r rpdb.Rule) string {
	return iproute2.RuleCommand(rpdb.Add, r, w.names)
}
