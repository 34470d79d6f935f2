package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
)

// filled returns the tables that hold routes, as far as they can be read in
// time.
func (v *hostOffers) filled() map[rpdb.TableID]bool {
	state := v.state
	if state == nil {
		conn, err := v.a.open()
		if err != nil {
			return nil
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(v.ctx, completionTime)
		defer cancel()
		if state, err = conn.Snapshot(ctx); err != nil {
			return nil
		}
	}
	tables := map[rpdb.TableID]bool{}
	for _, r := range state.Routes {
		tables[r.Table] = true
	}
	return tables
}

// addTables offers tables by name, and by number where they have none or a
// number is being typed.
func (v *hostOffers) addTables() {
	tables := map[rpdb.TableID]string{rpdb.TableMain: "", rpdb.TableDefault: "", rpdb.TableLocal: ""}
	for id := range v.names.Tables {
		tables[id] = ""
	}
	v.noteUse(tables)
	addNumbered(v.offers, tables, v.names.Table)
}

// noteUse adds the tables that rules lead to and that hold routes, and says so.
func (v *hostOffers) noteUse(tables map[rpdb.TableID]string) {
	for _, r := range v.rules(0) {
		if t := r.Action.Table(); tables[t] == "" {
			tables[t] = fmt.Sprintf("rule %d", r.Priority)
		}
	}
	for id := range v.filled() {
		tables[id] = strings.TrimPrefix(tables[id]+", holds routes", ", ")
	}
	delete(tables, rpdb.TableUnspec)
}

func (v *hostOffers) addProtocols() {
	protocols := map[rpdb.Protocol]string{}
	for p := range 256 {
		if protocol := rpdb.Protocol(p); !isNumber(v.names.Protocol(protocol)) {
			protocols[protocol] = ""
		}
	}
	for _, r := range v.rules(0) {
		if protocols[r.Protocol] == "" {
			protocols[r.Protocol] = fmt.Sprintf("rule %d", r.Priority)
		}
	}
	addNumbered(v.offers, protocols, v.names.Protocol)
}

func (v *hostOffers) addGroups() {
	groups := map[uint32]string{0: ""}
	for g := range v.names.Groups {
		groups[g] = ""
	}
	addNumbered(v.offers, groups, v.names.Group)
}

func (v *hostOffers) addRealms() {
	realms := map[uint16]string{}
	for r := range v.names.Realms {
		realms[r] = ""
	}
	addNumbered(v.offers, realms, v.names.Realm)
}

// addDSFields offers the names of DS fields, those without ECN bits where it is
// the DSCP that is asked for.
func (v *hostOffers) addDSFields(dscp bool) {
	for _, field := range slices.Sorted(maps.Keys(v.names.DSFields)) {
		if !dscp || field&3 == 0 {
			v.add(v.names.DSFields[field], fmt.Sprintf("%#04x", field))
		}
	}
}

// addIPProtos offers the protocols that have a name.
func (v *hostOffers) addIPProtos() {
	for p := 1; p < 256; p++ {
		if name := iproute2.IPProto(rpdb.IPProto(p)); !strings.HasPrefix(name, "ipproto-") {
			v.add(name, fmt.Sprint(p))
		}
	}
}

// addPriorities offers the priorities of the rules of a family, 0 for both,
// with the first rule at each.
func (v *hostOffers) addPriorities(f rpdb.Family) {
	for _, r := range v.rules(f) {
		v.add(fmt.Sprint(r.Priority), v.text(r))
	}
}

// addInUse offers what follows a keyword in the rules that there are.
func (v *hostOffers) addInUse(keyword string, f rpdb.Family) {
	for _, r := range v.rules(f) {
		words := strings.Fields(v.text(r))
		if i := slices.Index(words, keyword); i >= 0 && i+1 < len(words) {
			v.add(words[i+1], fmt.Sprintf("rule %d", r.Priority))
		}
	}
}

func (v *hostOffers) text(r rpdb.Rule) string { return iproute2.RuleView{Names: v.names}.Text(r) }

// addNumbered offers numbers by name, and as numbers where they have no name or
// a number is being typed, the smallest first.
func addNumbered[T cmp.Ordered](o *offers, numbers map[T]string, name func(T) string) {
	sorted := slices.Sorted(maps.Keys(numbers))
	for _, n := range sorted {
		o.add(name(n), cmp.Or(numbers[n], fmt.Sprint(n)))
	}
	if o.begun == "" || !isNumber(o.begun[:1]) {
		return
	}
	for _, n := range sorted {
		o.add(fmt.Sprint(n), name(n))
	}
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
