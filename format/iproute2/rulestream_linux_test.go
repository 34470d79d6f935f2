package iproute2_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// ruleListing prints rules as a program does.
type ruleListing struct {
	listed
	lister  *iproute2.RuleLister
	decoder kernel.RuleDecoder
}

func newRuleListing(v iproute2.RuleView, json, pretty bool) *ruleListing {
	l := &ruleListing{lister: iproute2.NewRuleLister(v)}
	l.inJSON(json, pretty)
	return l
}

func (l *ruleListing) Read(payload []byte) (*rpdb.Rule, error) { return l.decoder.Decode(payload) }

func (l *ruleListing) Print(r *rpdb.Rule) ([]byte, error) {
	return l.add(func(b []byte) []byte { return l.lister.AppendText(b, r) }, func(to iproute2.Sink) { l.lister.Fields(r, to) })
}

// ruleMessage is the payload of what the kernel says of a rule.
func ruleMessage(t testing.TB, r rpdb.Rule) []byte {
	b, err := kernel.EncodeRule(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ruleMessages are those of a list in which many rules look alike but for their
// priority and addresses, and of which some are spoilt.
func (g generator) ruleMessages(t testing.TB, n int) (list [][]byte) {
	var kinds [][]byte
	for range 12 {
		kinds = append(kinds, ruleMessage(t, g.state(g.rule())))
	}
	for range n {
		m := slices.Clone(kinds[g.IntN(len(kinds))])
		for _, number := range []uint16{1, 2} {
			for i, value := 0, attribute(m, number); i < len(value); i++ {
				value[i] = byte(pick(g, 0, 0, 9, 10, 99, 100, 192, 255, g.IntN(256)))
			}
		}
		if value := attribute(m, 6); value != nil {
			binary.NativeEndian.PutUint32(value, pick(g, 0, 1, 4, 6, 32, 32766, 1<<32-1, g.Uint32()))
		}
		if g.IntN(8) == 0 {
			m[g.IntN(len(m))] ^= 1 << g.IntN(8)
		}
		if g.IntN(50) == 0 { // once more, which counts
			m = append(m, attr(pick[uint16](g, 6, 6|0x8000, 1, 2|0x4000), string([]byte{9, 0, 0, byte(g.IntN(9))}))...)
		}
		if g.IntN(50) == 0 {
			m = m[:g.IntN(len(m))]
		}
		list = append(list, m)
	}
	return list
}

// However a list is long and whatever is in it, a stream prints what is printed
// rule by rule.
func TestRuleStreamEqualsRuleByRule(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(11, 12))}
	filters := []string{"", "", "", "from 0/0", "table 100", "pref 4", "to 10.0.0.0/8", "iif v0"}
	views := []func(*iproute2.RuleView){
		func(*iproute2.RuleView) {},
		func(v *iproute2.RuleView) { v.Details, v.Raw = true, false },
		func(v *iproute2.RuleView) { v.Numeric = true },
		func(v *iproute2.RuleView) { v.Family, v.Deleted = true, true },
		func(v *iproute2.RuleView) { v.Color = iproute2.DarkBackground },
	}
	repeated, printed := 0, 0
	for round := range 48 {
		messages := g.ruleMessages(t, 600)
		words := filters[round%len(filters)]
		f, err := iproute2.RuleContext{Family: rpdb.IPv4}.ParseFilter(iproute2.RuleList, strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		for i, change := range views {
			json, pretty := g.chance(), g.chance()
			v := iproute2.RuleView{Names: shipped(), Raw: true, State: &iproute2.NameState{}}
			change(&v)
			want := newRuleListing(v, json, pretty)
			var failed, wantFailed []string
			for i, m := range messages {
				switch r, err := want.Read(m); {
				case err != nil:
					wantFailed = append(wantFailed, fmt.Sprint(i, err))
				case f.Match(*r):
					_, _ = want.Print(r)
				}
			}

			v.State = &iproute2.NameState{}
			got := newRuleListing(v, json, pretty)
			s := iproute2.NewRuleStream(v, f, got)
			for i, m := range messages {
				if err := s.Add(m); err != nil {
					failed = append(failed, fmt.Sprint(i, err))
				}
			}
			about := fmt.Sprintf("%q, view %d, json %v", words, i, json)
			if !slices.Equal(failed, wantFailed) {
				t.Fatalf("%s: errors are %q\nwant %q", about, failed, wantFailed)
			}
			got.wants(t, &want.listed, about)
			if f.Empty() && v.Color == iproute2.NoColor {
				repeated, printed = repeated+got.repeated, printed+want.printed
			}
		}
	}
	if repeated < printed/2 || printed < 10_000 {
		t.Errorf("%d rules printed, and only %d of them were like one in front of them", printed, repeated)
	}
}

// addRules adds rules in the middle of a list.
func (l *ruleListing) addRules(t *testing.T, s *iproute2.RuleStream, messages ...[]byte) {
	t.Helper()
	for range notLooked {
		if err := s.Add(messages[0]); err != nil {
			t.Fatal(err)
		}
	}
	l.Reset()
	for _, m := range messages {
		if err := s.Add(m); err != nil {
			t.Fatal(err)
		}
	}
}

// A view that changes on the way is one that the printer says it of.
func TestRuleStreamForgets(t *testing.T) {
	v := iproute2.RuleView{Raw: true}
	l := newRuleListing(v, false, false)
	s := iproute2.NewRuleStream(v, iproute2.RuleFilter{}, l)
	rule := func(words string) []byte { return ruleMessage(t, mustRule(t, rpdb.IPv4, words)) }
	l.addRules(t, s, rule("pref 4 from 192.0.2.1 table 100"), rule("pref 40 from 192.0.2.40 table 100"))
	v.Names.Tables = map[rpdb.TableID]string{100: "uplink"}
	l.lister = iproute2.NewRuleLister(v)
	s.Forget()
	if err := s.Add(rule("pref 44 from 192.0.2.4 table 100")); err != nil {
		t.Fatal(err)
	}
	want := "4:\tfrom 192.0.2.1 lookup 100\n40:\tfrom 192.0.2.40 lookup 100\n44:\tfrom 192.0.2.4 lookup uplink\n"
	if got := l.text(); got != want || l.repeated != 1 {
		t.Errorf("got %q, %d repeated\nwant %q", got, l.repeated, want)
	}
}

// ruleFailing is a printer that cannot.
type ruleFailing struct{ ruleListing }

func (ruleFailing) Print(*rpdb.Rule) ([]byte, error) { return nil, errFull }

func TestRuleStreamErrors(t *testing.T) {
	s := iproute2.NewRuleStream(iproute2.RuleView{}, iproute2.RuleFilter{}, &ruleFailing{})
	m := ruleMessage(t, mustRule(t, rpdb.IPv4, "pref 4 from 192.0.2.1 table 100"))
	for range 2 {
		if err := s.Add(m); err != errFull {
			t.Errorf("got %v, want %v", err, errFull)
		}
	}
	if err := s.Add(m[:18]); err == nil || err == errFull {
		t.Errorf("a message that is cut off: %v", err)
	}
}

// A list may have any number of rules: none costs an allocation, whether one like it
// was listed or not.
func TestRuleStreamAllocates(t *testing.T) {
	for _, json := range []bool{false, true} {
		v := iproute2.RuleView{Names: shipped(), Raw: true}
		l := newRuleListing(v, json, false)
		s := iproute2.NewRuleStream(v, iproute2.RuleFilter{}, l)
		var list [][]byte
		for i := range 2000 {
			list = append(list, ruleMessage(t, mustRule(t, rpdb.IPv4, fmt.Sprintf("pref %d from 10.0.%d.%d fwmark %d table 7", i, i>>8, i&255, 1+i%500))))
		}
		if allocs := l.allocates(t, list, s.Add); allocs > 20 {
			t.Errorf("json %v: %v allocations in %d rules", json, allocs, len(list))
		}
	}
}

func BenchmarkRuleStream(b *testing.B) {
	for _, form := range []string{"text", "fields"} {
		for _, kinds := range []int{8, 100_000} {
			b.Run(fmt.Sprintf("%s/%d kinds", form, kinds), func(b *testing.B) {
				v := iproute2.RuleView{Names: shipped(), Raw: true}
				l := newRuleListing(v, form == "fields", false)
				s := iproute2.NewRuleStream(v, iproute2.RuleFilter{}, l)
				var list [][]byte
				for i := range 100_000 {
					list = append(list, ruleMessage(b, mustRule(b, rpdb.IPv4, fmt.Sprintf("pref %d from 10.%d.%d.%d table %d", i, i>>16, i>>8&255, i&255, 100+i%kinds))))
				}
				l.measure(b, list, s.Add)
			})
		}
	}
}

// Of two priorities in a message the last counts, and that one looks like the other
// is nothing that it has in common with the next.
func TestRuleStreamPriorityTwice(t *testing.T) {
	for _, number := range []uint16{6, 6 | 0x8000} {
		l := newRuleListing(iproute2.RuleView{}, false, false)
		s := iproute2.NewRuleStream(iproute2.RuleView{}, iproute2.RuleFilter{}, l)
		rule := func(words string) []byte {
			return append(ruleMessage(t, mustRule(t, rpdb.IPv4, words)), attr(number, native32(33554441))...)
		}
		l.addRules(t, s, rule("pref 1 from 192.0.2.1"), rule("pref 2 from 192.0.2.1"))
		if got, want := l.text(), strings.Repeat("33554441:\tfrom 192.0.2.1 lookup main\n", 2); got != want {
			t.Errorf("attribute %#x: got %q, want %q", number, got, want)
		}
	}
}

// An address or priority of another size is none that a pattern has a place for.
func TestRuleStreamOddSizes(t *testing.T) {
	good := ruleMessage(t, mustRule(t, rpdb.IPv4, "pref 1 from 192.0.2.1 to 192.0.2.2"))
	for _, number := range []uint16{1, 2, 6} {
		for _, size := range []int{0, 3, 8, 16} {
			odd := slices.Clone(good[:12])
			for rest := good[12:]; len(rest) > 0; {
				n := (binary.NativeEndian.Uint16(rest) + 3) &^ 3
				if binary.NativeEndian.Uint16(rest[2:]) == number {
					odd = append(odd, attr(number, strings.Repeat("\x07", size))...)
				} else {
					odd = append(odd, rest[:n]...)
				}
				rest = rest[n:]
			}
			l := newRuleListing(iproute2.RuleView{}, false, false)
			s := iproute2.NewRuleStream(iproute2.RuleView{}, iproute2.RuleFilter{}, l)
			l.addRules(t, s, good, good)
			_, want := new(kernel.RuleDecoder).Decode(odd)
			if err := s.Add(odd); want == nil || fmt.Sprint(err) != fmt.Sprint(want) {
				t.Errorf("attribute %d of %d bytes: %v, want %v", number, size, err, want)
			}
		}
	}
}
