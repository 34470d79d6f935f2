package apply_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rpdb"
	"rpdb/apply"
	"rpdb/kernel/kerneltest"
	"rpdb/plan"
)

// stoppedKernel fails one call, or stops the program there as a kill does.
type stoppedKernel struct {
	apply.Kernel
	at, calls int
	kill      bool
}

type natKill struct{}

func (k *stoppedKernel) Do(ctx context.Context, c rpdb.Change) error {
	if k.calls++; k.calls == k.at {
		if k.kill {
			panic(natKill{})
		}
		return syscall.ENOBUFS
	}
	return k.Kernel.Do(ctx, c)
}

// TestNATRuleKilled: a rule made by hand that translates is all there or not at
// all where a call fails, made or deleted. Where the program is killed instead, no
// packet is mapped inward without the rule, and the same again ends it, or deleting.
func TestNATRuleKilled(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { natRuleKilled(t, "10.1.0.0/24", "203.0.113.0") })
	t.Run("IPv6", func(t *testing.T) { natRuleKilled(t, "fd00:1::/64", "2001:db8:c::") })
}

func natRuleKilled(t *testing.T, from, to string) {
	block, outside := netip.MustParsePrefix(from), netip.MustParseAddr(to)
	family := rpdb.FamilyOf(outside)
	rule := rpdb.Rule{Family: family, Priority: 500, Selector: rpdb.Selector{From: block}, Action: rpdb.ToTable(100), Protocol: rpdb.ProtocolBoot}
	nat, err := plan.SettleNAT(family, block, outside, -1)
	if err != nil {
		t.Fatal(err)
	}
	add := func(s *rpdb.Snapshot) (plan.Plan, error) { return plan.AddNATRule(s, rule, nat, rpdb.Names{}) }
	remove := func(s *rpdb.Snapshot) (plan.Plan, error) {
		var rules []rpdb.Rule
		for _, n := range s.NATRules() {
			rules = append(rules, n.Rules...)
		}
		return plan.RemoveNATRules(s, rules...)
	}
	run := func(k apply.Kernel, of func(*rpdb.Snapshot) (plan.Plan, error)) (err error) {
		defer func() {
			if r := recover(); r != nil && r != (natKill{}) {
				panic(r)
			}
		}()
		_, err = apply.Make(t.Context(), k, must(of(must(k.Snapshot(t.Context())))), of, apply.Options{})
		return err
	}
	for _, deletes := range []bool{false, true} {
		for at := 1; ; at++ {
			reached := false
			for _, kill := range []bool{false, true} {
				memory := natHost(t)
				before, of := "nothing", add
				if deletes {
					before, of = "whole", remove
					if err := run(memory, add); err != nil {
						t.Fatal(err)
					}
				}
				k := &stoppedKernel{Kernel: memory, at: at, kill: kill}
				err := run(k, of)
				reached = k.calls >= at
				is := natState(must(memory.Snapshot(t.Context())))
				switch cleaned := strings.Contains(errorText(err), "could not be cleared away"); {
				case strings.Contains(is, "inward without"):
					t.Errorf("delete %t, kill %t at %d: %s", deletes, kill, at, is)
				case !kill && reached && err == nil, !kill && reached && is != before && !cleaned:
					t.Errorf("delete %t, call %d fails: %s, want %s; %v", deletes, at, is, before, err)
				}
				for _, then := range []struct {
					do   func(*rpdb.Snapshot) (plan.Plan, error)
					want string
				}{{of, map[bool]string{false: "whole", true: "nothing"}[deletes]}, {remove, "nothing"}} {
					if err := run(memory, then.do); err != nil {
						t.Errorf("delete %t, kill %t at %d: once more: %v", deletes, kill, at, err)
					}
					if got := natState(must(memory.Snapshot(t.Context()))); got != then.want {
						t.Errorf("delete %t, kill %t at %d: then %s, want %s", deletes, kill, at, got, then.want)
					}
				}
			}
			if !reached {
				if at < 5 {
					t.Errorf("delete %t: only %d calls", deletes, at-1)
				}
				break
			}
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// natState says what there is of the rule.
func natState(s *rpdb.Snapshot) string {
	all := s.NATRules()
	switch {
	case len(all) == 0:
		return "nothing"
	case len(all) == 1 && len(all[0].Rules) == 1 && len(all[0].Routes) == 2 && all[0].Translation.Inbound:
		return "whole"
	case slices.ContainsFunc(all, func(n rpdb.NATRule) bool { return len(n.Rules) == 0 && n.Translation.Inbound }):
		return "inward without the rule"
	}
	return "parts"
}

// natHost is a host in memory with a table of two routes of each family.
func natHost(t *testing.T) *kerneltest.Memory {
	t.Helper()
	m := newSite(t, t.TempDir()).Memory
	for dst, via := range map[string]string{
		"0.0.0.0/0": "192.0.2.1", "198.51.100.0/24": "192.0.2.1", "::/0": "2001:db8::1", "2001:db8:3::/48": "2001:db8::1",
	} {
		gateway := netip.MustParseAddr(via)
		r := rpdb.Route{
			Family: rpdb.FamilyOf(gateway), Table: 100, Dst: netip.MustParsePrefix(dst), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic,
			Nexthops: []rpdb.Nexthop{{Via: gateway, Link: 3}},
		}
		if err := m.Do(t.Context(), rpdb.RouteChange(rpdb.Add, r)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}
