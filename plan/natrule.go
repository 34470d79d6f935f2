package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// A rule that was made by hand and translates is three things that no message makes
// at once: the rule, its copy of a table, and the translation. They come and go so
// that whatever an interrupted run leaves translates nothing: before the rule
// stands, no packet has the realm of the copy; and the map of packets that come in
// is there only while the rule is.

// AddNATRule returns the plan that makes a rule whose packets are translated: the
// rule, as it would be if nothing were translated, and what becomes of them, without
// realm and copy. It looks up a copy of its table from then on, whose number is none
// that names has. What an interrupted run has left of the same rule is completed, and
// a copy that has fallen behind its table is renewed; where nothing is left to do
// the plan is empty. The errors are [*NATError], and reasons why this host cannot
// have the rule.
func AddNATRule(actual *rpdb.Snapshot, rule rpdb.Rule, t rpdb.Translation, names rpdb.Names) (Plan, error) {
	t.CopyOf = rule.Action.Table()
	d := newNATDiffer(actual)
	n, err := d.same(rule, t)
	if err != nil {
		return Plan{}, err
	}
	if n == nil {
		copied := freeCopy(actual, rule.Family, names)
		if copied == 0 {
			return Plan{}, fmt.Errorf("there are %d rules of %v that translate already, made by hand: there is no number for another copy of a table", rpdb.HandCopies, rule.Family)
		}
		t.Rule = rule.Priority
		n = &rpdb.NATRule{Family: rule.Family, Copy: copied}
	} else if t.Rule = n.Rules[0].Priority; n.Translation.Rule != 0 {
		t.Rule = n.Translation.Rule
	}
	t.Realm, _ = rpdb.RealmOfCopy(n.Copy)
	if err := notOn(actual, t); err != nil {
		return Plan{}, err
	}
	if err := d.notBeside(t); err != nil {
		return Plan{}, err
	}
	w := wantedNAT{NATRule: rpdb.NATRule{Family: n.Family, Copy: n.Copy, Rules: n.Rules, Translation: t}}
	if w.Routes, err = actual.CopyTable(n.Family, t.CopyOf, n.Copy); err != nil {
		return Plan{}, err
	}
	w.renew = true
	if len(n.Rules) == 0 {
		rule.Action = rpdb.ToTable(n.Copy)
		if rule.Family == rpdb.IPv4 {
			rule.Realms = rpdb.NewRealms(0, t.Realm)
		}
		w.add = &rule
	}
	d.keep(n.Copy, nil)
	return d.plan(append(d.want, w))
}

// RemoveNATRules returns the plan that takes rules away that were made by hand and
// translate, as they stand, with all that belongs to them, and what interrupted runs
// have left of others.
func RemoveNATRules(actual *rpdb.Snapshot, rules ...rpdb.Rule) (Plan, error) {
	d := newNATDiffer(actual)
	for _, r := range rules {
		d.keep(r.Action.Table(), &r)
	}
	return d.plan(d.want)
}

// RepairNATRules returns the plan that renews the copies of rules made by hand that
// translate, where they have fallen behind their tables, gives back the map of
// packets that come in to those that lack it, and takes away what interrupted runs have
// left, or somebody who deleted a rule and not what belongs to it. What cannot be
// put right is in the notes of the plan. A host without such rules has an empty plan.
func RepairNATRules(actual *rpdb.Snapshot) (Plan, error) {
	d := newNATDiffer(actual)
	var notes []string
	for i, w := range d.want {
		if actual.Missing.Has(rpdb.PartNAT) {
			continue
		}
		if w.Translation == (rpdb.Translation{}) {
			notes = append(notes, fmt.Sprintf("%v: nftables translates nothing for it, and its packets leave as they are: delete it, and make it again", w.Rules[0]))
			continue
		}
		d.want[i].Translation = w.Meant()
		routes, err := actual.CopyTable(w.Family, w.Translation.CopyOf, w.Copy)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%v translates, and its copy of table %d cannot be renewed: %v", w.Rules[0], w.Translation.CopyOf, err))
			continue
		}
		d.want[i].Routes, d.want[i].renew = routes, true
	}
	d.repairs = true
	p, err := d.plan(d.want)
	p.Notes = append(p.Notes, notes...)
	return p, err
}

// wantedNAT is a rule that translates as it is to be.
type wantedNAT struct {
	rpdb.NATRule
	renew bool       // the copy is to hold Routes
	add   *rpdb.Rule // that does not stand yet
}

// natDiffer finds the way from the rules made by hand that translate to others.
type natDiffer struct {
	actual  *rpdb.Snapshot
	have    []rpdb.NATRule
	want    []wantedNAT // those of which a rule stands, as they are
	drop    []rpdb.Rule
	repairs bool
}

func newNATDiffer(actual *rpdb.Snapshot) *natDiffer {
	d := &natDiffer{actual: actual, have: actual.NATRules()}
	for _, n := range d.have {
		if len(n.Rules) > 0 {
			d.want = append(d.want, wantedNAT{NATRule: n})
		}
	}
	return d
}

// keep leaves out of what is wanted one rule that looks up a copy, and the rest with
// the last one; without a rule all of it.
func (d *natDiffer) keep(t rpdb.TableID, without *rpdb.Rule) {
	d.want = slices.Clone(d.want)
	for i, w := range d.want {
		if w.Copy != t {
			continue
		}
		if without != nil {
			left := slices.DeleteFunc(slices.Clone(w.Rules), func(r rpdb.Rule) bool { return r.Canonical() == without.Canonical() })
			if len(left) < len(w.Rules) { // else it is gone
				d.drop = append(d.drop, *without)
			}
			w.Rules = left
		}
		if d.want[i] = w; without == nil || len(w.Rules) == 0 {
			d.want = slices.Delete(d.want, i, i+1)
		}
		return
	}
}

// same finds the rule among those that stand; nil if it does not. One that
// translates otherwise is an error.
func (d *natDiffer) same(rule rpdb.Rule, t rpdb.Translation) (*rpdb.NATRule, error) {
	for _, n := range d.have {
		for _, r := range n.Rules {
			moved := rule.Canonical()
			moved.Action, moved.Realms, moved.Protocol = r.Action, r.Realms, r.Protocol
			if r.Canonical() != moved {
				continue
			}
			is, want := n.Translation, t
			want.Realm, want.Rule, want.Inbound = is.Realm, is.Rule, is.Inbound
			if is != (rpdb.Translation{}) && is.Canonical() != want.Canonical() {
				return nil, &OtherNATError{Rule: r, Is: is}
			}
			n.Rules = []rpdb.Rule{r}
			return &n, nil
		}
	}
	return nil, nil
}

// OtherNATError says that a rule with the same selectors and priority was made by
// hand and translates otherwise.
type OtherNATError struct {
	Rule rpdb.Rule
	Is   rpdb.Translation
}

// Error names the rule, and what it does.
func (e *OtherNATError) Error() string {
	return fmt.Sprintf("%v selects the same, and has %v and a copy of table %d", e.Rule, e.Is, e.Is.CopyOf)
}

// notOn says why a host cannot have a translation.
func notOn(s *rpdb.Snapshot, t rpdb.Translation) error {
	switch {
	case s.NAT.Foreign != "":
		return &NATError{Foreign: s.NAT.Foreign}
	case s.Missing.Has(rpdb.PartNAT):
		return errors.New("what nftables holds is not known: that takes CAP_NET_ADMIN")
	case t.CopyOf == rpdb.TableLocal:
		return errors.New("table local leads to this host, and only forwarded packets are translated")
	case rpdb.IsHandCopy(t.Family, t.CopyOf):
		return fmt.Errorf("table %d is the copy that another rule has for itself", t.CopyOf)
	case !t.Kind.Maps():
		return nil
	}
	for _, a := range s.Addresses {
		if t.To.Contains(a.Prefix.Addr()) {
			return fmt.Errorf("the block %v holds %v, an address of this host on %s, whose packets it would take", t.To, a.Prefix.Addr(), s.LinkName(a.Link))
		}
	}
	return nil
}

// notBeside says why a translation cannot stand beside those that are there.
func (d *natDiffer) notBeside(t rpdb.Translation) error {
	for _, o := range d.actual.NAT.Translations {
		overlap := !t.From.IsValid() || !o.From.IsValid() || t.From.Overlaps(o.From)
		switch {
		case o.Realm == t.Realm || o.Family != t.Family || d.isLeft(o):
		case t.Inbound && clash(t, o):
			return fmt.Errorf("the block %v overlaps %v, which is mapped already (%v from %v): packets for it would come to one of the two only", t.To, o.To, o, o.From)
		case o.NoTrack && overlap:
			return fmt.Errorf("%v from %v takes sources out of connection tracking that this needs it for", o, o.From)
		}
	}
	return nil
}

// isLeft reports whether a translation is of a rule made by hand that is gone.
func (d *natDiffer) isLeft(t rpdb.Translation) bool {
	return slices.ContainsFunc(d.have, func(n rpdb.NATRule) bool { return len(n.Rules) == 0 && n.Translation == t })
}

// clash reports whether two translations would both map packets that come in for
// some address, and not alike.
func clash(a, b rpdb.Translation) bool {
	return a.Family == b.Family && a.Kind.Maps() && b.Kind.Maps() && b.Inbound && a.To.Overlaps(b.To) &&
		(a.To != b.To || a.From != b.From || a.Kind != b.Kind)
}

// freeCopy returns a number for the copy of a table of a family that nobody uses, nor
// its realm, nor its program; 0 if there is none.
func freeCopy(s *rpdb.Snapshot, f rpdb.Family, names rpdb.Names) rpdb.TableID {
	tables, realms := map[rpdb.TableID]bool{}, map[uint16]bool{}
	note := func(r rpdb.Realms) { realms[r.From()], realms[r.To()] = true, true }
	for _, r := range s.Rules {
		tables[r.Action.Table()] = true
		note(r.Realms)
	}
	for _, r := range s.Routes {
		tables[r.Table] = true
		note(r.Realms)
		for _, n := range r.Nexthops {
			note(n.Realms)
			t, _ := n.CopyTable()
			tables[t] = true
		}
	}
	for _, t := range s.NAT.Translations {
		realms[t.Realm] = true
	}
	for _, l := range s.Links {
		tables[l.VRFTable] = true
	}
	for t := rpdb.FirstHandCopy(f); rpdb.IsHandCopy(f, t); t++ {
		if realm, _ := rpdb.RealmOfCopy(t); !tables[t] && !realms[realm] && names.Tables[t] == "" {
			return t
		}
	}
	return 0
}

// plan returns the way to what is wanted.
func (d *natDiffer) plan(want []wantedNAT) (Plan, error) {
	p := Plan{Changes: []Step{}, Steps: []Step{}}
	prepared, switched, final := d.translations(want)
	var writes, adds, drops, cuts, cleans []Step
	wanted := map[rpdb.TableID]bool{}
	for _, w := range want {
		wanted[w.Copy] = true
		if w.renew {
			add, cut, err := copySteps(d.actual, w.NATRule)
			if err != nil {
				return Plan{}, err
			}
			writes, cuts = append(writes, inPhase(phaseOf(w), add)...), append(cuts, inPhase(phaseOf(w), because(cut, fmt.Sprintf("table %d has no such route", w.Translation.CopyOf)))...)
		}
		if w.add != nil {
			adds = append(adds, Step{
				Change: rpdb.RuleChange(rpdb.Add, *w.add), Inverse: rpdb.RuleChange(rpdb.Delete, *w.add), Reason: "missing", Phase: Switch,
			})
		}
	}
	for _, r := range d.drop {
		drops = append(drops, Step{
			Change: rpdb.RuleChange(rpdb.Delete, r), Inverse: rpdb.RuleChange(rpdb.Add, r), Reason: "to be deleted", Phase: Switch,
		})
	}
	for _, n := range d.have {
		if !wanted[n.Copy] {
			_, cut, err := copySteps(d.actual, rpdb.NATRule{Family: n.Family, Copy: n.Copy})
			if err != nil {
				return Plan{}, err
			}
			reason := "of a rule that goes"
			if len(n.Rules) == 0 {
				reason = "left of a rule that is gone"
			}
			cleans = append(cleans, inPhase(Clean, because(cut, reason))...)
		}
	}
	w := natWriter{plan: &p, now: d.actual.NAT.Translations}
	w.write(Prepare, prepared, "translates what leaves, by a realm that no packet has yet")
	p.Steps = slices.Concat(p.Steps, writes, cuts, adds)
	w.altered = d.repairs && len(d.actual.NAT.Unknown) > 0
	w.write(Switch, switched, "what becomes of packets that come in")
	p.Steps = append(p.Steps, drops...)
	p.Steps = append(p.Steps, cleans...) // before that by which one can tell what they are of
	w.write(Clean, final, "translations of packets that no rule leads on any more")
	for _, s := range p.Steps {
		if s.Phase != Clean {
			p.Changes = append(p.Changes, s)
		}
	}
	if len(p.Steps) > 0 && d.actual.NAT.Foreign != "" && len(final) > 0 {
		return Plan{}, &NATError{Foreign: d.actual.NAT.Foreign}
	}
	return p, nil
}

// translations returns what nftables is to hold before a rule comes, while it is
// there, and when another has gone. What is not of rules made by hand stays.
func (d *natDiffer) translations(want []wantedNAT) (prepared, switched, final []rpdb.Translation) {
	now := d.actual.NAT.Translations
	for _, t := range now {
		if !isOfHand(t) {
			final = append(final, t)
		}
	}
	others := final
	for _, w := range want {
		if t := w.Translation; t != (rpdb.Translation{}) {
			if slices.ContainsFunc(others, func(o rpdb.Translation) bool { return clash(t, o) }) {
				t.Inbound = false
			}
			final = append(final, t)
		}
	}
	return prepare(final, now), beside(final, now), final
}

// isOfHand reports whether a translation is of a rule made by hand.
func isOfHand(t rpdb.Translation) bool {
	c, ok := rpdb.CopyOfRealm(t.Realm)
	return ok && rpdb.IsHandCopy(t.Family, c)
}

// phaseOf says when the copy of a rule is written: packets see it once the rule is
// there.
func phaseOf(w wantedNAT) Phase {
	if w.add != nil {
		return Prepare
	}
	return Switch
}

// copySteps returns the steps that fill the copy of a rule, and those that take out
// what is not to be there. Routes of others stay.
func copySteps(actual *rpdb.Snapshot, n rpdb.NATRule) (writes, drops []Step, err error) {
	desired := rpdb.Desired{Tables: []rpdb.DesiredTable{{ID: n.Copy}}}
	for _, r := range n.Routes {
		desired.Routes = append(desired.Routes, rpdb.DesiredRoute{Route: r, Name: fmt.Sprintf("copy %d", n.Copy)})
	}
	var p Plan
	d := newDiffer(&rpdb.Snapshot{Routes: actual.Table(n.Family, n.Copy)}, desired, n.Family, &p)
	err = d.diffRoutes()
	return d.newRoutes, d.oldRoutes, err
}

// because gives another reason for the removal of what a copy is not to have.
func because(steps []Step, reason string) []Step {
	for i := range steps {
		if steps[i].Reason == notInPolicy {
			steps[i].Reason = reason
		}
	}
	return steps
}

// SettleNAT returns what takes the place of the source of packets from a block: the
// one at its place in a block that begins at an address; with the length of an
// address, that one for all of them; and with no address that of the interface. Bits
// less than 0 are those of from. The error says why it cannot be.
func SettleNAT(f rpdb.Family, from netip.Prefix, to netip.Addr, bits int) (rpdb.Translation, error) {
	t := rpdb.Translation{Family: f, Kind: rpdb.TranslateMasquerade, From: from.Masked()}
	if !from.IsValid() || from.Bits() == 0 {
		t.From = netip.Prefix{}
	}
	if !to.IsValid() {
		return t, nil
	}
	if rpdb.FamilyOf(to) != f {
		return t, fmt.Errorf("an %v address in a rule for %v", rpdb.FamilyOf(to), f)
	}
	if !t.From.IsValid() && bits != to.BitLen() {
		return t, errors.New("maps the block that from selects, and there is no from")
	}
	if bits < 0 {
		bits = t.From.Bits()
	}
	t.To = netip.PrefixFrom(to, bits)
	switch {
	case to.IsMulticast() || to.IsLoopback() || to.IsUnspecified() || to.Is6() && to.IsLinkLocalUnicast() || to.Is4In6() || to == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return t, errors.New("not an address that packets to the world can have")
	case bits != to.BitLen() && bits != t.From.Bits():
		return t, fmt.Errorf("a block of length /%d cannot be mapped onto one of /%d: leave the length out, or write /%d for one address in the place of all", t.From.Bits(), bits, to.BitLen())
	case t.To != t.To.Masked():
		return t, fmt.Errorf("has bits behind the length /%d of from: write %v for the block %v, or %v/%d for this one address in the place of all",
			bits, t.To.Masked().Addr(), t.To.Masked(), to, to.BitLen())
	case bits != t.From.Bits():
		t.Kind = rpdb.TranslateAddress
		return t, nil
	case t.To.Overlaps(t.From):
		return t, fmt.Errorf("the block %v overlaps %v, which it would take the place of", t.To, t.From)
	}
	t.Kind, t.Inbound = rpdb.TranslateBlock, true
	return t, nil
}
