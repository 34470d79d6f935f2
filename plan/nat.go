package plan

import (
	"fmt"
	"slices"

	"rpdb"
)

// NATError says that a policy translates and the table of nftables that it needs
// is there and not ours. Nothing can be planned until that goes.
type NATError struct {
	Foreign string // whose it looks like
}

// Error says what is in the way.
func (e *NATError) Error() string {
	return fmt.Sprintf("plan nat: the table rpdb of nftables is not ours: %s", e.Foreign)
}

// wantedTranslation is a translation of a policy, and its rule.
type wantedTranslation struct {
	rpdb.Translation
	name string
}

// translationsOf returns what rules translate, by the realms of the tables that
// they look up.
func translationsOf(rules []rpdb.DesiredRule) []wantedTranslation {
	var all []wantedTranslation
	for _, w := range rules {
		if t := w.Translation; t != (rpdb.Translation{}) {
			t.Realm, _ = rpdb.RealmOfCopy(w.Rule.Action.Table())
			all = append(all, wantedTranslation{t.Canonical(), w.Name})
		}
	}
	return all
}

// isPlanned reports whether a translation is one of those that policies have. The
// others are of rules made by hand, and stay.
func isPlanned(t rpdb.Translation) bool {
	first, _ := rpdb.RealmOfCopy(FirstTable + 500)
	last, _ := rpdb.RealmOfCopy(LastTable + twinDistance)
	return first <= t.Realm && t.Realm <= last
}

// translate adds the steps of nftables. Before the gate turns, the translations of
// both generations stand there: each knows its packets by the realms of its own
// tables, and one message switches both. Packets that come in tell nothing of
// that, so the maps for them are switched behind the gate. The old ones go last.
func (p *Plan) translate(actual *rpdb.Snapshot, all []phases) error {
	var named []wantedTranslation
	var wanted []rpdb.Translation
	for _, ph := range all {
		for _, w := range ph.translations {
			named, wanted = append(named, w), append(wanted, w.Translation)
		}
	}
	is := actual.NAT
	if is.Foreign != "" {
		if len(wanted) > 0 {
			return &NATError{Foreign: is.Foreign}
		}
		if slices.ContainsFunc(is.Translations, isPlanned) {
			p.Notes = append(p.Notes, fmt.Sprintf("the table rpdb of nftables is not ours: %s; as long as it stands, ours beside it keeps what no policy has", is.Foreign))
		}
		return nil
	}
	if actual.Missing.Has(rpdb.PartNAT) {
		if len(wanted) > 0 {
			p.Notes = append(p.Notes, "what nftables holds is not known, so what would be translated otherwise is not shown")
		}
		return nil
	}
	for _, f := range rpdb.Families() {
		if setting := actual.ForwardsNothing(f); setting != "" && len(ofFamily(wanted, f)) > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("this host forwards no %v packets yet (%s), and rules with nat translate only what it forwards", f, setting))
		}
	}
	now := is.Translations
	final := slices.Concat(p.unplanned(actual, wanted), wanted)
	w := natWriter{plan: p, now: now}
	// Where no gate turns, packets come to what would be prepared at once.
	if slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Phase == Switch }) {
		w.write(Prepare, prepare(final, now), "the translations of both generations, each by its own realms")
	}
	w.altered = len(is.Unknown) > 0 && len(final) > 0
	w.write(Switch, beside(final, now), switchReason(w.now, wanted, is))
	w.altered = len(is.Unknown) > 0 && len(final) == 0
	w.write(Clean, final, "translations of packets that no rule leads on any more")
	p.tellTranslations(live(actual), named)
	p.tellInbound(w.seen)
	return nil
}

// unplanned returns the translations of rules made by hand, but for those whose rule
// is gone: whatever keeps a generation from coming, or coming back, these do not.
// So where both map packets for one address, the policy does.
func (p *Plan) unplanned(actual *rpdb.Snapshot, wanted []rpdb.Translation) (stay []rpdb.Translation) {
	hand := newNATDiffer(actual)
	for _, t := range actual.NAT.Translations {
		if isPlanned(t) || hand.isLeft(t) {
			continue
		}
		if i := slices.IndexFunc(wanted, func(w rpdb.Translation) bool { return t.Inbound && clash(t, w) }); i >= 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("rule %d, made by hand, has %v: packets for the block %v come to those of the policy from then on",
				t.Rule, t, wanted[i].To))
			t.Inbound = false
		}
		stay = append(stay, t)
	}
	return stay
}

// beside returns some translations and, of those before, what they do for packets
// that leave: of one realm only the first ones know.
func beside(list, before []rpdb.Translation) []rpdb.Translation {
	all := slices.Clone(list)
	for _, t := range before {
		t.Inbound = t.Inbound && slices.Contains(list, t)
		if !slices.ContainsFunc(list, func(o rpdb.Translation) bool { return sameTie(o, t) }) {
			all = append(all, t)
		}
	}
	return all
}

// prepare returns the translations before and, of those to come, what they do for
// packets that leave.
func prepare(list, before []rpdb.Translation) []rpdb.Translation {
	var all []rpdb.Translation
	for _, t := range before {
		replaced := func(o rpdb.Translation) bool { return sameTie(o, t) && outward(o) != outward(t) }
		if !slices.ContainsFunc(list, replaced) {
			all = append(all, t)
		}
	}
	for _, t := range list {
		if !slices.ContainsFunc(all, func(o rpdb.Translation) bool { return outward(o) == outward(t) }) {
			all = append(all, outward(t))
		}
	}
	return all
}

// sameTie reports whether two translations are of the same packets.
func sameTie(a, b rpdb.Translation) bool {
	return a.Family == b.Family && a.Realm == b.Realm
}

// outward is what a translation does for packets that leave.
func outward(t rpdb.Translation) rpdb.Translation {
	t.Inbound = false
	return t
}

// switchReason says why nftables is written when the gate has turned, given what it
// holds by then.
func switchReason(now, wanted []rpdb.Translation, is rpdb.NAT) string {
	lacks := func(w rpdb.Translation) bool {
		return !slices.ContainsFunc(now, func(t rpdb.Translation) bool { return outward(t) == outward(w) })
	}
	switch {
	case len(is.Unknown) > 0:
		return fmt.Sprintf("holds what is not of the policy: %s", is.Unknown[0])
	case len(is.Translations) == 0 && len(wanted) > 0, slices.ContainsFunc(wanted, lacks):
		return "missing"
	}
	return "maps packets that come in as the new generation does"
}

// natWriter adds steps that replace what our table of nftables holds.
type natWriter struct {
	plan *Plan
	now  []rpdb.Translation
	// altered reports that it holds something else besides, which goes whenever
	// the table is written.
	altered bool
	// seen are the contents that packets may notice.
	seen [][2][]rpdb.Translation
}

// write adds a step that leaves the table with some translations, unless it has
// them, in a phase: first in Prepare, so that what it lacks is known before
// anything else is done, and last in the others.
func (w *natWriter) write(phase Phase, list []rpdb.Translation, reason string) {
	before, after := rpdb.SortTranslations(w.now), rpdb.SortTranslations(list)
	if slices.Equal(before, after) && !w.altered {
		return
	}
	w.altered = false
	s := Step{
		Change: rpdb.NATChange(rpdb.Replace, after), Inverse: rpdb.NATChange(rpdb.Replace, before), Reason: reason, Phase: phase,
	}
	at := 0
	if phase != Prepare {
		at = len(w.plan.Steps)
		for phase == Switch && at > 0 && w.plan.Steps[at-1].Phase == Clean {
			at--
		}
	}
	w.plan.Steps = slices.Insert(w.plan.Steps, at, s)
	if phase == Switch {
		w.seen = append(w.seen, [2][]rpdb.Translation{before, after})
	}
	w.now = after
}

// tellInbound says what packets see of steps that stand behind the gate.
func (p *Plan) tellInbound(seen [][2][]rpdb.Translation) {
	for _, lists := range seen {
		for _, f := range rpdb.Families() {
			before, after := ofFamily(lists[0], f), ofFamily(lists[1], f)
			if !slices.Equal(before, after) {
				p.backOf(f).Messages++
			}
		}
		others := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Phase == Switch && s.Change.NAT == nil })
		if others {
			p.Transient = append(p.Transient, "nftables maps packets that come in by one message of its own, right behind the others: until then they have the old map, or none")
		}
	}
}

// backOf returns the entry of a family, in the order of the families.
func (p *Plan) backOf(f rpdb.Family) *Back {
	i, found := slices.BinarySearchFunc(p.Back, f, func(b Back, f rpdb.Family) int { return int(b.Family) - int(f) })
	if !found {
		p.Back = slices.Insert(p.Back, i, Back{Family: f})
	}
	return &p.Back[i]
}

func ofFamily(list []rpdb.Translation, f rpdb.Family) []rpdb.Translation {
	return slices.DeleteFunc(slices.Clone(list), func(t rpdb.Translation) bool { return t.Family != f })
}

// live returns the translations whose tables some rule leads packets to.
func live(actual *rpdb.Snapshot) []rpdb.Translation {
	type packets struct {
		family rpdb.Family
		realm  uint16
	}
	led := map[packets]bool{}
	for _, f := range rpdb.Families() {
		rules := actual.RulesOf(f)
		for i, reached := range reachedRules(rules) {
			if realm, ok := rpdb.RealmOfCopy(rules[i].Action.Table()); ok && reached {
				led[packets{f, realm}] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(actual.NAT.Translations), func(t rpdb.Translation) bool { return !led[packets{t.Family, t.Realm}] })
}

// tellTranslations adds to the changes which translations come and go. By which
// realm packets are known is no change.
func (p *Plan) tellTranslations(now []rpdb.Translation, wanted []wantedTranslation) {
	bare := func(t rpdb.Translation) rpdb.Translation {
		t.Realm = 0
		return t.Canonical()
	}
	old := map[rpdb.Translation]int{}
	for _, t := range now {
		if isPlanned(t) {
			old[bare(t)]++
		}
	}
	step := func(op, inverse rpdb.ChangeOp, w wantedTranslation, reason string) {
		one := []rpdb.Translation{w.Translation}
		p.Changes = append(p.Changes, Step{Change: rpdb.NATChange(op, one), Name: w.name, Inverse: rpdb.NATChange(inverse, one), Reason: reason})
	}
	for _, w := range wanted {
		if b := bare(w.Translation); old[b] > 0 {
			old[b]--
			continue
		}
		step(rpdb.Add, rpdb.Delete, w, "missing")
	}
	for _, t := range now {
		if isPlanned(t) && old[bare(t)] > 0 {
			old[bare(t)]--
			step(rpdb.Delete, rpdb.Add, wantedTranslation{Translation: t}, notInPolicy)
		}
	}
}

// sweepNAT adds the removal of translations of tables that packets are not led to.
func (p *Plan) sweepNAT(actual *rpdb.Snapshot) {
	led := live(actual)
	gone := func(t rpdb.Translation) bool { return isPlanned(t) && !slices.Contains(led, t) }
	if actual.NAT.Foreign != "" || !slices.ContainsFunc(actual.NAT.Translations, gone) {
		return
	}
	w := natWriter{plan: p, now: actual.NAT.Translations}
	w.write(Clean, slices.DeleteFunc(slices.Clone(actual.NAT.Translations), gone), "left over")
}
