package plan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
	"rpdb/plan"
)

// natRule is a rule whose packets are translated, with the copy of a table that
// it looks up: routes by some interfaces, the first of them the default.
func natRule(inside, outside string, copyOf rpdb.TableID, links ...rpdb.LinkIndex) rpdb.Desired {
	realm, _ := rpdb.RealmOfCopy(copyOf)
	r := from(inside, copyOf)
	dst, host := "0.0.0.0/0", "10.0.0.%d/32"
	if r.Family == rpdb.IPv6 {
		dst, host, realm = "::/0", "2001:db8::%d/128", 0
	}
	r.Realms = rpdb.NewRealms(0, realm)
	t := rpdb.Translation{Family: r.Family, Kind: rpdb.TranslateMasquerade, From: r.Selector.From}
	if outside != "" {
		t.Kind, t.To, t.Inbound = rpdb.TranslateBlock, netip.MustParsePrefix(outside), true
	}
	d := rpdb.Desired{
		Rules:  []rpdb.DesiredRule{{Rule: r, Name: inside, Translation: t, CopyOf: table}},
		Tables: []rpdb.DesiredTable{{ID: copyOf}},
	}
	for i, l := range links {
		if i > 0 {
			dst = fmt.Sprintf(host, i)
		}
		route := route(dst, "", l)
		route.Table, route.Realms = copyOf, rpdb.NewRealms(0, realm)
		if r.Family == rpdb.IPv6 {
			route.Nexthops[0] = route.Nexthops[0].WithCopyProgram(copyOf)
		}
		d.Routes = append(d.Routes, rpdb.DesiredRoute{Route: route, Name: inside + ": copy"})
	}
	return d
}

// together joins policies.
func together(all ...rpdb.Desired) (d rpdb.Desired) {
	for _, o := range all {
		d.Rules, d.Routes, d.Tables = append(d.Rules, o.Rules...), append(d.Routes, o.Routes...), append(d.Tables, o.Tables...)
	}
	return d
}

// seen is what the world can tell of a packet.
type seen struct {
	fate
	source string
}

// worldSees returns what becomes of flows and of their sources.
func worldSees(s *rpdb.Snapshot, flows []rpdb.Flow) []seen {
	f := fib.Compile(s)
	out := make([]seen, len(flows))
	for i, flow := range flows {
		d := f.Lookup(flow)
		out[i] = seen{fate{d.Disposition, d.Hop, d.Errno}, flow.Src.String()}
		for _, t := range s.NAT.Translations {
			if t.Family == flow.Family() && t.Realm == d.Realms.To() && d.Disposition == rpdb.Sent {
				if a, ok := t.Source(flow.Src); ok {
					out[i].source = a.String()
				} else if t.Kind == rpdb.TranslateMasquerade {
					out[i].source = "that of the interface"
				}
			}
		}
	}
	return out
}

func natFlowsOf(of rpdb.Family) []rpdb.Flow {
	return slices.DeleteFunc(packets(), func(f rpdb.Flow) bool { return f.Family() != of })
}

// randomNAT is a policy of rules that translate and of others. Like a policy it
// has another copy for a rule that translates otherwise.
func randomNAT(rng *rand.Rand, f rpdb.Family) rpdb.Desired {
	inner, outer, everything := "10.0.0.%d/30", "203.0.113.%d/30", "0.0.0.0/0"
	if f == rpdb.IPv6 {
		inner, outer, everything = "2001:db8::%x/126", "2001:db8:5::%x/126", "::/0"
	}
	var all []rpdb.Desired
	for inside := range 4 {
		links := []rpdb.LinkIndex{rpdb.LinkIndex(3 + rng.IntN(4)), rpdb.LinkIndex(3 + rng.IntN(4)), rpdb.LinkIndex(3 + rng.IntN(4))}
		block := fmt.Sprintf(inner, 4*inside)
		switch outside := rng.IntN(5); outside {
		case 0:
		case 1:
			all = append(all, natRule(block, "", rpdb.TableID(82999-5*inside), links...))
		case 2:
			all = append(all, wantRules(from(block, table)), wantRoutes(route(everything, "", links[0])))
		default:
			to := fmt.Sprintf(outer, 16*inside+4*outside)
			all = append(all, natRule(block, to, rpdb.TableID(82999-5*inside-outside), links...))
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	d := together(all...)
	var routes []rpdb.DesiredRoute // the plain table has one default
	plain := false
	for _, w := range d.Routes {
		if w.Route.Table != table || !plain {
			routes = append(routes, w)
		}
		plain = plain || w.Route.Table == table
	}
	d.Routes = routes
	return d
}

// TestTranslationsSwitchWithTheGate: after every message between two random
// policies that translate, each packet leaves by the way and with the source of
// the old policy or of the new one, and where the gate turns all of them are of
// the same. From there, as after a crash, both can be reached, and nftables holds
// what they want and nothing else.
func TestTranslationsSwitchWithTheGate(t *testing.T) {
	for _, f := range rpdb.Families() {
		t.Run(f.String(), func(t *testing.T) { translationsSwitch(t, f) })
	}
}

func translationsSwitch(t *testing.T, family rpdb.Family) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 4))
	flows, s, old := natFlowsOf(family), host(), rpdb.Desired{}
	different := map[seen]bool{}
	for round := range 25 {
		d := randomNAT(rng, family)
		p := mustDiff(t, s, d)
		after := plan.After(s, p.Steps)
		if again := mustDiff(t, after, d); !again.Empty() {
			t.Fatalf("round %d: a second plan has %v", round, again.Steps[0].Change)
		}
		was, will := worldSees(s, flows), worldSees(after, flows)
		for _, w := range will {
			different[w] = true
		}
		for n := range p.Steps {
			when := fmt.Sprintf("round %d, after %v (%s)", round, p.Steps[n].Change, p.Steps[n].Phase)
			now := plan.After(s, p.Steps[:n+1])
			isOld, isNew := true, true
			for i, is := range worldSees(now, flows) {
				isOld, isNew = isOld && is == was[i], isNew && is == will[i]
				if is != was[i] && is != will[i] {
					t.Fatalf("%s: %v is seen as %+v, before %+v, then %+v", when, flows[i], is, was[i], will[i])
				}
			}
			if !isOld && !isNew {
				t.Fatalf("%s: neither as before nor as after", when)
			}
			for like, wanted := range map[*rpdb.Snapshot]rpdb.Desired{after: d, s: old} {
				back, sees := plan.After(now, mustDiff(t, now, wanted).Steps), was
				if like == after {
					sees = will
				}
				if !slices.Equal(worldSees(back, flows), sees) || len(back.NAT.Translations) != len(like.NAT.Translations) {
					t.Fatalf("%s: a plan leads to %v, want %v", when, back.NAT.Translations, like.NAT.Translations)
				}
			}
		}
		s, old = after, d
	}
	if len(different) < 40 {
		t.Errorf("packets are seen in %d ways only", len(different))
	}
}

// TestTrialKeepsTranslationsReady: on trial the old translations stand beside the
// new ones, and going back writes none for packets that leave.
func TestTrialKeepsTranslationsReady(t *testing.T) {
	for inside, outside := range map[string][2]string{
		"10.0.0.0/30":     {"203.0.113.0/30", "203.0.113.4/30"},
		"2001:db8::0/126": {"2001:db8:5::/126", "2001:db8:5::4/126"},
	} {
		t.Run(inside, func(t *testing.T) {
			trialKeepsTranslations(t, natRule(inside, outside[0], 82999, 3, 4), natRule(inside, outside[1], 82998, 4, 5))
		})
	}
}

func trialKeepsTranslations(t *testing.T, a, b rpdb.Desired) {
	family, s := a.Rules[0].Rule.Family, host()
	s = plan.After(s, mustDiff(t, s, a).Steps)
	forth := mustDiff(t, s, b)
	trial := plan.After(s, forth.WithoutClean().Steps)
	if n := len(trial.NAT.Translations); n != 2 {
		t.Fatalf("on trial %d translations stand: %v", n, trial.NAT.Translations)
	}
	for _, w := range trial.NAT.Translations {
		if w.Inbound != (w.To == b.Rules[0].Translation.To) {
			t.Errorf("on trial: %+v", w)
		}
	}
	if p := mustDiff(t, trial, b); !p.OnlyCleans() || len(p.Changes) > 0 {
		t.Errorf("on trial there is still to do: %v, changes %q", p.Steps[0], steps(p))
	}
	back := mustDiff(t, trial, a)
	for _, step := range back.Steps {
		if step.Phase == plan.Prepare && step.Change.NAT != nil {
			t.Errorf("going back begins with %v: %v", step.Change, step.Change.NAT.Translations)
		}
	}
	if got, want := worldSees(plan.After(trial, back.Steps), natFlowsOf(family)), worldSees(s, natFlowsOf(family)); !slices.Equal(got, want) {
		t.Error("going back leads elsewhere")
	}
	if len(back.Back) != 1 || back.Back[0].Family != family || back.Back[0].Messages != 2 {
		t.Errorf("going back takes %+v, want the gate and the inbound map", back.Back)
	}
	swept := plan.After(trial, plan.Sweep(trial, b).Steps)
	if n := len(swept.NAT.Translations); n != 1 || swept.NAT.Translations[0].To != b.Rules[0].Translation.To {
		t.Errorf("confirmed, %v stand", swept.NAT.Translations)
	}
}

// TestTranslationsAreRepaired: what somebody took from our table or put there is
// put right, and what a rule made by hand has there stays.
func TestTranslationsAreRepaired(t *testing.T) {
	a := natRule("10.0.0.0/30", "203.0.113.0/30", 82999, 3)

	s := host()
	p := mustDiff(t, s, a)
	expect(t, p, "add route default table 82999 (IPv4)", "add rule 10010 (IPv4)", "add nat 203.0.113.0/30")
	whole := plan.After(s, p.Steps)
	for name, nat := range map[string]rpdb.NAT{
		"gone":    {},
		"other":   {Translations: []rpdb.Translation{{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: 10999}}},
		"more":    {Translations: append(slices.Clone(whole.NAT.Translations), rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: 10600})},
		"altered": {Translations: whole.NAT.Translations, Unknown: []string{"a chain"}},
	} {
		damaged := *whole
		damaged.NAT = nat
		repair := mustDiff(t, &damaged, a)
		if repair.Empty() {
			t.Errorf("%s: nothing is repaired", name)
		}
		if got := plan.After(&damaged, repair.Steps).NAT; !slices.Equal(got.Translations, whole.NAT.Translations) || len(got.Unknown) > 0 {
			t.Errorf("%s: repaired to %+v", name, got)
		}
	}
	byHand := rpdb.Translation{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: 12600}
	beside := *whole
	beside.NAT.Translations = rpdb.SortTranslations(append(slices.Clone(whole.NAT.Translations), byHand))
	if p := mustDiff(t, &beside, a); !p.Empty() {
		t.Errorf("what was made by hand: %v", p.Steps[0])
	}
	if got := plan.After(&beside, mustDiff(t, &beside, rpdb.Desired{}).Steps).NAT.Translations; !slices.Equal(got, []rpdb.Translation{byHand}) {
		t.Errorf("without the policy %v is left", got)
	}
}

// TestTranslationsAlone: where no rule and no route changes, the message to nftables
// is what packets see, and the plan says so.
func TestTranslationsAlone(t *testing.T) {
	for inside, outside := range map[string]string{"10.0.0.0/30": "203.0.113.0/30", "2001:db8::/126": "2001:db8:5::/126"} {
		a, b := natRule(inside, outside, 82999, 3), natRule(inside, outside, 82999, 3)
		b.Rules[0].Translation.Inbound = false
		s := host()
		s = plan.After(s, mustDiff(t, s, a).Steps)
		lost := *s
		lost.NAT = rpdb.NAT{}
		for what, p := range map[string]plan.Plan{"inbound: false": mustDiff(t, s, b), "lost": mustDiff(t, &lost, a)} {
			if len(p.Steps) != 1 || p.Steps[0].Phase != plan.Switch || len(p.Transient) > 0 {
				t.Errorf("%s: %v, %q", what, p.Steps, p.Transient)
			}
			if f := a.Rules[0].Rule.Family; len(p.Back) != 1 || p.Back[0] != (plan.Back{Family: f, Messages: 1}) {
				t.Errorf("%s: going back takes %+v", what, p.Back)
			}
			if what == "lost" && p.Steps[0].Reason != "missing" {
				t.Errorf("%s: %s", what, p.Steps[0].Reason)
			}
		}
	}
}

// TestForeignNATTable is in the way of a policy that translates, and of no other.
func TestForeignNATTable(t *testing.T) {
	s := host()
	s.NAT.Foreign = "no mark of ours"
	_, err := plan.Diff(s, natRule("10.0.0.0/30", "", 82999, 3))
	var nat *plan.NATError
	if !errors.As(err, &nat) {
		t.Errorf("plan: %v", err)
	}
	if p := mustDiff(t, s, rpdb.Desired{}); !p.Empty() {
		t.Errorf("a policy without: %v", p.Steps[0])
	} else if len(p.Notes) > 0 {
		t.Errorf("and it says %q", p.Notes)
	}
	// Ours beside it cannot be written while it stands.
	s.NAT.Translations = plan.After(host(), mustDiff(t, host(), natRule("10.0.0.0/30", "", 82999, 3)).Steps).NAT.Translations
	if p := mustDiff(t, s, rpdb.Desired{}); !p.Empty() || len(p.Notes) != 1 {
		t.Errorf("what is left in ours: %v, notes %q", p.Steps, p.Notes)
	}
}

// TestTranslationsWithoutForwarding: what is planned is said to translate nothing, as
// only what is forwarded is.
func TestTranslationsWithoutForwarding(t *testing.T) {
	for _, forwards := range []bool{false, true} {
		s := host()
		s.Sysctls.IPv4Forward = forwards
		p := mustDiff(t, s, natRule("10.0.0.0/30", "", 82999, 3))
		said := slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "forwards no IPv4 packets yet (net.ipv4.ip_forward)") })
		if said == forwards {
			t.Errorf("forwards %v, notes %q", forwards, p.Notes)
		}
		if p := mustDiff(t, s, rpdb.Desired{}); len(p.Notes) > 0 {
			t.Errorf("a policy without: %q", p.Notes)
		}
	}
}
