package rpdb_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"rpdb"
)

// These compile only as long as == works on the nouns and they can be map
// keys. A field that is a slice, map or function would take that away.
func comparableNoun[T comparable]() {}

var _ = []func(){
	comparableNoun[rpdb.Rule], comparableNoun[rpdb.Selector], comparableNoun[rpdb.Action], comparableNoun[rpdb.Suppressor],
	comparableNoun[rpdb.Flow], comparableNoun[rpdb.Nexthop], comparableNoun[rpdb.RouteKey], comparableNoun[rpdb.Metric],
	comparableNoun[rpdb.Link], comparableNoun[rpdb.Address], comparableNoun[rpdb.Neighbour], comparableNoun[rpdb.LinkSysctls],
	comparableNoun[rpdb.Hop], comparableNoun[rpdb.Opt[rpdb.DSCP]], comparableNoun[rpdb.Raw],
}

// mutations are the smallest changes that make another rule of a rule.
func mutations() map[string]func(*rpdb.Rule) {
	return map[string]func(*rpdb.Rule){
		"family":               func(r *rpdb.Rule) { r.Family = rpdb.IPv6 },
		"priority":             func(r *rpdb.Rule) { r.Priority++ },
		"not":                  func(r *rpdb.Rule) { r.Selector.Not = true },
		"from":                 func(r *rpdb.Rule) { r.Selector.From = prefix("192.0.2.0/24") },
		"to":                   func(r *rpdb.Rule) { r.Selector.To = prefix("192.0.2.0/24") },
		"tos":                  func(r *rpdb.Rule) { r.Selector.TOS = 4 },
		"dscp 0":               func(r *rpdb.Rule) { r.Selector.DSCP = rpdb.Some(rpdb.DSCP{Mask: 0x3f}) },
		"fwmark":               func(r *rpdb.Rule) { r.Selector.Mark = rpdb.Mark{Value: 1, Mask: 1} },
		"fwmark of no bits":    func(r *rpdb.Rule) { r.Selector.Mark = rpdb.Mark{Value: 1} },
		"iif":                  func(r *rpdb.Rule) { r.Selector.IIF = "lo" },
		"oif":                  func(r *rpdb.Rule) { r.Selector.OIF = "lo" },
		"l3mdev":               func(r *rpdb.Rule) { r.Selector.L3MDev = true },
		"uidrange 0-0":         func(r *rpdb.Rule) { r.Selector.UIDRange = rpdb.Some(rpdb.UIDRange{}) },
		"ipproto":              func(r *rpdb.Rule) { r.Selector.IPProto = rpdb.TCP },
		"sport":                func(r *rpdb.Rule) { r.Selector.SPort = rpdb.Port(53) },
		"dport":                func(r *rpdb.Rule) { r.Selector.DPort = rpdb.Port(53) },
		"flow label":           func(r *rpdb.Rule) { r.Selector.FlowLabel = rpdb.FlowLabel{Value: 1, Mask: 1} },
		"tun_id":               func(r *rpdb.Rule) { r.Selector.TunID = 1 },
		"action":               func(r *rpdb.Rule) { r.Action = rpdb.Nop() },
		"table":                func(r *rpdb.Rule) { r.Action = rpdb.ToTable(253) },
		"table of 32 bits":     func(r *rpdb.Rule) { r.Action = rpdb.ToTable(254 + 256) },
		"goto":                 func(r *rpdb.Rule) { r.Action = rpdb.Goto(254) },
		"suppress 0":           func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](0) },
		"suppress group 0":     func(r *rpdb.Rule) { r.Suppress.IfGroup = rpdb.Some[uint32](0) },
		"realms":               func(r *rpdb.Rule) { r.Realms = rpdb.NewRealms(1, 0) },
		"protocol":             func(r *rpdb.Rule) { r.Protocol = rpdb.ProtocolRPDB },
		"stored flag":          func(r *rpdb.Rule) { r.Flags = rpdb.RulePermanent },
		"an unknown attribute": func(r *rpdb.Rule) { r.Unknown = "\x01" },
	}
}

// TestRuleAsKey: each mutation is another key, and another canonical form.
func TestRuleAsKey(t *testing.T) {
	plain := rpdb.Rule{Family: rpdb.IPv4, Priority: 100, Action: rpdb.ToTable(rpdb.TableMain)}
	seen := map[rpdb.Rule]string{plain: "the plain rule"}
	canonical := map[rpdb.Rule]string{plain.Canonical(): "the plain rule"}
	for name, mutate := range mutations() {
		r := plain
		mutate(&r)
		if other, ok := seen[r]; ok {
			t.Errorf("%s equals %s", name, other)
		}
		if other, ok := canonical[r.Canonical()]; ok {
			t.Errorf("%s means the same as %s", name, other)
		}
		seen[r], canonical[r.Canonical()] = name, name
	}
	if len(seen) != len(mutations())+1 {
		t.Errorf("%d keys for %d rules", len(seen), len(mutations())+1)
	}
}

func TestRuleCanonical(t *testing.T) {
	base := func(f rpdb.Family) rpdb.Rule {
		return rpdb.Rule{Family: f, Priority: 100, Action: rpdb.ToTable(100), Protocol: rpdb.ProtocolRPDB}
	}
	with := func(f rpdb.Family, change func(*rpdb.Rule)) rpdb.Rule {
		r := base(f)
		change(&r)
		return r
	}
	for _, c := range []struct {
		name string
		in   rpdb.Rule
		same rpdb.Rule
	}{
		{"computed state", with(rpdb.IPv4, func(r *rpdb.Rule) {
			r.Flags = rpdb.RuleUnresolved | rpdb.RuleIIFDetached | rpdb.RuleOIFDetached
		}), base(rpdb.IPv4)},
		{"realms of IPv6", with(rpdb.IPv6, func(r *rpdb.Rule) { r.Realms = 7 }), base(rpdb.IPv6)},
		{"from all", with(rpdb.IPv6, func(r *rpdb.Rule) { r.Selector.From = prefix("::/0") }), base(rpdb.IPv6)},
		{"suppress_prefixlength -1", with(rpdb.IPv4, func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some[int32](-1) }), base(rpdb.IPv4)},
		{"suppress_ifgroup -1", with(rpdb.IPv4, func(r *rpdb.Rule) { r.Suppress.IfGroup = rpdb.Some[uint32](math.MaxUint32) }), base(rpdb.IPv4)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in == c.same {
				t.Fatal("they are written alike")
			}
			if got := c.in.Canonical(); got != c.same.Canonical() {
				t.Errorf("got %+v, want %+v", got, c.same.Canonical())
			}
		})
	}
	for _, length := range []int32{-2, 0, 32, 200} { // -2 never suppresses, 200 always; the kernel keeps both
		r := with(rpdb.IPv4, func(r *rpdb.Rule) { r.Suppress.PrefixLength = rpdb.Some(length) })
		if r.Canonical() != r {
			t.Errorf("suppress_prefixlength %d becomes %+v", length, r.Canonical().Suppress)
		}
	}
}

func TestRuleCanonicalIsIdempotent(t *testing.T) {
	eachRound(t, func(t *testing.T, g generator) {
		r := random[rpdb.Rule](g)
		c := r.Canonical()
		if c.Canonical() != c {
			t.Errorf("%+v becomes %+v", c, c.Canonical())
		}
		if c.Family != r.Family || c.Priority != r.Priority || c.Protocol != r.Protocol || c.Action != r.Action || c.Unknown != r.Unknown || c.State() != 0 {
			t.Errorf("%+v lost more than notation: %+v", r, c)
		}
	})
}

func TestRuleState(t *testing.T) {
	r := rpdb.Rule{Flags: rpdb.RulePermanent | rpdb.RuleUnresolved | rpdb.RuleFindSaddr | rpdb.RuleOIFDetached}
	if got, want := r.State(), rpdb.RuleUnresolved|rpdb.RuleOIFDetached; got != want {
		t.Errorf("state %#x, want %#x", got, want)
	}
	if got, want := r.Canonical().Flags, rpdb.RulePermanent|rpdb.RuleFindSaddr; got != want {
		t.Errorf("stored flags %#x, want %#x", got, want)
	}
}

// TestRuleOrder sorts a shuffled list stably, as the kernel keeps it.
func TestRuleOrder(t *testing.T) {
	rule := func(f rpdb.Family, p rpdb.Priority, added rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: f, Priority: p, Action: rpdb.ToTable(added)}
	}
	want := []rpdb.Rule{
		rule(rpdb.IPv4, 0, 255), rule(rpdb.IPv4, 100, 1), rule(rpdb.IPv4, 100, 2), rule(rpdb.IPv4, 100, 3), rule(rpdb.IPv4, 4294967295, 1),
		rule(rpdb.IPv6, 0, 255), rule(rpdb.IPv6, 5, 1),
	}
	for seed := range uint64(20) {
		got := slices.Clone(want)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		// The order of adding, here in the table number, is all that a stable
		// sort needs to know of rules that compare equal.
		slices.SortStableFunc(got, func(a, b rpdb.Rule) int { return int(a.Action.Table()) - int(b.Action.Table()) })
		slices.SortStableFunc(got, rpdb.Rule.Compare)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v", got)
		}
	}
}

// TestDefaultRules compares with what ip rule shows in a new namespace.
func TestDefaultRules(t *testing.T) {
	rule := func(f rpdb.Family, p rpdb.Priority, table rpdb.TableID) rpdb.Rule {
		return rpdb.Rule{Family: f, Priority: p, Action: rpdb.ToTable(table), Protocol: 2}
	}
	for family, want := range map[rpdb.Family][]rpdb.Rule{
		rpdb.IPv4: {rule(rpdb.IPv4, 0, 255), rule(rpdb.IPv4, 32766, 254), rule(rpdb.IPv4, 32767, 253)},
		rpdb.IPv6: {rule(rpdb.IPv6, 0, 255), rule(rpdb.IPv6, 32766, 254)},
	} {
		got := rpdb.DefaultRules(family)
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v", family, got)
		}
		got[0].Priority = 99
		if !slices.Equal(rpdb.DefaultRules(family), want) {
			t.Errorf("%v: a second call shows what the first caller did to its slice", family)
		}
	}
}

func TestRealms(t *testing.T) {
	r := rpdb.NewRealms(5, 65535)
	if r != 0x0005ffff || r.From() != 5 || r.To() != 65535 {
		t.Errorf("%#x: from %d to %d", uint32(r), r.From(), r.To())
	}
	if alone := rpdb.Realms(7); alone.From() != 0 || alone.To() != 7 { // "realms 7"
		t.Errorf("realms 7: from %d to %d", alone.From(), alone.To())
	}
}
