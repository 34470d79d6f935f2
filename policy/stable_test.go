package policy

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
)

// applied resolves a policy and puts its rules on the host, as apply does.
func applied(t *testing.T, s *rpdb.Snapshot, text string) rpdb.Desired {
	t.Helper()
	d, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	desired, err := d.Resolve(s, rpdb.Names{})
	if err != nil {
		t.Fatal(err)
	}
	s.Rules = nil
	for i, w := range desired.Rules {
		w.Rule.Priority = rpdb.Priority(10010 + 10*i)
		s.Rules = append(s.Rules, w.Rule)
	}
	return desired
}

func numberOf(t *testing.T, d rpdb.Desired, name string) rpdb.TableID {
	t.Helper()
	for _, table := range d.Tables {
		if table.Name == name {
			return table.ID
		}
	}
	t.Fatalf("no table %s", name)
	return 0
}

// TestTableKeepsItsNumber: what is written in front of a table does not give
// its number to another one, under rules that still lead there.
func TestTableKeepsItsNumber(t *testing.T) {
	for _, text := range []string{
		`{tables: [{name: guest}, {name: vpn}], rules: [{fwmark: 2, lookup: guest}, {fwmark: 1, lookup: vpn}, {fwmark: 5, lookup: vpn}]}`,
		`{tables: [{name: guest}, {name: vpn}], rules: [{fwmark: 2, lookup: guest}, {fwmark: 5, lookup: vpn}]}`,
		// Most of the rules decide whose number it is.
		`{tables: [{name: new}, {name: vpn}], rules: [{fwmark: 5, family: ipv6, lookup: new}, {fwmark: 1, lookup: vpn}]}`,
	} {
		s := &rpdb.Snapshot{}
		vpn := numberOf(t, applied(t, s, `
tables: [{name: vpn}]
rules: [{name: a, fwmark: 1, lookup: vpn}, {name: b, family: ipv6, fwmark: 5, lookup: vpn}]`), "vpn")
		first := applied(t, s, text)
		if got := numberOf(t, first, "vpn"); got != vpn {
			t.Errorf("%s: vpn moves from %d to %d", text, vpn, got)
		}
		if again := applied(t, s, text); !slices.Equal(first.Tables, again.Tables) {
			t.Errorf("%s: resolved again: %v, then %v", text, first.Tables, again.Tables)
		}
	}
}

// TestTwoTablesUnderOneSelectorDoNotSwap: the second is asked when the first
// has no answer.
func TestTwoTablesUnderOneSelectorDoNotSwap(t *testing.T) {
	s := &rpdb.Snapshot{}
	text := `{tables: [{name: b}, {name: a}], rules: [{fwmark: 1, lookup: a}, {fwmark: 1, lookup: b}]}`
	first := applied(t, s, text)
	if again := applied(t, s, strings.Replace(text, "{name: b}, {name: a}", "{name: a}, {name: b}", 1)); numberOf(t, again, "a") != numberOf(t, first, "a") {
		t.Errorf("%v became %v", first.Tables, again.Tables)
	}
}

// TestNumberOfATableThatIsGoneIsNotGivenAway while rules still lead there.
func TestNumberOfATableThatIsGoneIsNotGivenAway(t *testing.T) {
	s := &rpdb.Snapshot{}
	old := numberOf(t, applied(t, s, `{tables: [{name: vpn}], rules: [{fwmark: 1, lookup: vpn}]}`), "vpn")
	d := applied(t, s, `{tables: [{name: guest}], rules: [{fwmark: 2, lookup: guest}]}`)
	if got := numberOf(t, d, "guest"); got == old {
		t.Errorf("guest gets %d", got)
	}
}

// TestTableOfOthersMayBecomeEmpty: its routes go with their interface, and
// what was applied stays right.
func TestTableOfOthersMayBecomeEmpty(t *testing.T) {
	s := &rpdb.Snapshot{Routes: []rpdb.Route{{Family: rpdb.IPv4, Table: 200}}}
	text := `rules: [{fwmark: 1, lookup: 200}]`
	applied(t, s, text)
	s.Routes = nil
	applied(t, s, text)
	s.Rules = nil
	d, _ := Parse("p.yaml", []byte(text))
	if _, err := d.Resolve(s, rpdb.Names{}); err == nil {
		t.Error("a table that nobody knows is no error")
	}
}

// TestInterfaceNamedLikeANumber does not choose the table by its name.
func TestInterfaceNamedLikeANumber(t *testing.T) {
	s := &rpdb.Snapshot{}
	d := applied(t, s, `uplinks: [{interface: "254", gateways: [192.0.2.1]}]`)
	if got := numberOf(t, d, "254"); got != firstUplinkTable {
		t.Errorf("table %d", got)
	}
}
