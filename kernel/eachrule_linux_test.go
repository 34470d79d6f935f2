package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
)

// manyBlocks is how many rules make more blocks than may wait to be used, so that
// the first rule is used while the kernel still tells others.
const manyBlocks = 4000

// longList gives a namespace manyBlocks rules of IPv4 more.
func longList(t *testing.T) (*Socket, *Conn) {
	t.Helper()
	ns, c := namespace(t)
	rules := make([]rpdb.Rule, 0, manyBlocks)
	for i := range manyBlocks {
		rules = append(rules, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(i + 1), Action: rpdb.ToTable(rpdb.TableID(1000 + i%7))})
	}
	must(t, c.AddRules(t.Context(), rules))
	return openSocket(t, ns), c
}

func mustNot(t *testing.T) func() {
	return func() { t.Error("a list that nobody changed is read again") }
}

// Short lists and long ones are given as another reading finds them, messages and
// all.
func TestEachRule(t *testing.T) {
	s, c := longList(t)
	for _, f := range rpdb.Families() {
		want, err := c.Rules(t.Context(), f)
		must(t, err)
		list, _, err := s.ListRules(t.Context(), uint8(f))
		must(t, err)
		var messages [][]byte
		must(t, list.Each(func(m *RuleMessage) error {
			messages = append(messages, slices.Clone(m.Payload))
			return nil
		}))
		i := 0
		must(t, s.EachRule(t.Context(), []uint8{uint8(f)}, mustNot(t), func(m *RuleMessage) error {
			if i >= len(want) || m.Rule != want[i] || !slices.Equal(m.Payload, messages[i]) || m.Type != unix.RTM_NEWRULE {
				return fmt.Errorf("%v: rule %d of %d is %+v", f, i, len(want), m)
			}
			i++
			return nil
		}))
		if i != len(want) {
			t.Errorf("%v: %d rules of %d", f, i, len(want))
		}
	}
	err := s.EachRule(t.Context(), []uint8{unix.AF_MPLS}, mustNot(t), func(*RuleMessage) error { return nil })
	if !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("a family without rules: %v", err)
	}
}

// Who uses the rules may say no; then nothing more is used, and the socket is fit
// for the next request.
func TestEachRuleEndsWithItsUse(t *testing.T) {
	s, _ := longList(t)
	for _, f := range rpdb.Families() {
		no := errors.New("no")
		used := 0
		err := s.EachRule(t.Context(), []uint8{uint8(f)}, mustNot(t), func(*RuleMessage) error {
			used++
			if used == 2 {
				return no
			}
			return nil
		})
		if !errors.Is(err, no) || used != 2 {
			t.Errorf("%v: %v after %d rules", f, err, used)
		}
	}
	if list, quiet, err := s.ListRules(t.Context(), unix.AF_INET); err != nil || !quiet || list.Len() != manyBlocks+3 {
		t.Errorf("afterwards: %d rules, %v, %v", list.Len(), quiet, err)
	}
}

// If somebody changes a list while it is read all lists are read again, and what was
// given of them is to be forgotten. If that never ends, there is no list.
func TestEachRuleReadsTornListsAgain(t *testing.T) {
	s, c := longList(t)
	first := rpdb.Rule{Family: rpdb.IPv4, Priority: manyBlocks + 1, Action: rpdb.Nop()}
	read := func(changes int) (rules, agains int, err error) {
		err = s.EachRule(t.Context(), []uint8{unix.AF_INET6, unix.AF_INET}, func() { rules, agains = 0, agains+1 }, func(*RuleMessage) error {
			rules++
			if rules == 3 && agains < changes {
				return errors.Join(do(c, addRule(first)), do(c, deleteRule(first)))
			}
			return nil
		})
		return rules, agains, err
	}
	if rules, agains, err := read(1); err != nil || agains != 1 || rules != manyBlocks+3+2 {
		t.Errorf("%d rules after %d torn lists, %v", rules, agains, err)
	}
	var unstable *UnstableError
	if _, agains, err := read(1 << 20); !errors.As(err, &unstable) || agains != maxReadings {
		t.Errorf("%d torn lists, %v", agains, err)
	}
}

// The memory of a list does not grow with it: that of blocks is used again. 4000
// rules take ten of them.
func TestEachRuleMemory(t *testing.T) {
	s, _ := longList(t)
	bytes := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	const rounds = 10
	before := bytes()
	for range rounds {
		must(t, s.EachRule(t.Context(), []uint8{unix.AF_INET}, mustNot(t), func(*RuleMessage) error { return nil }))
	}
	if got, most := (bytes()-before)/rounds, uint64((readingAhead+4)*readingBlock); got > most {
		t.Errorf("%d bytes for %d rules, want at most %d", got, manyBlocks, most)
	}
}
