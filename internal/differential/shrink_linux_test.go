package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/fib"
)

// explain makes the smallest world in which engine and kernel still do not
// agree about a flow, and tells it in commands that anyone can paste.
func explain(t *testing.T, plan *rpdb.Snapshot, flow rpdb.Flow) string {
	disagree := func(s *rpdb.Snapshot, f rpdb.Flow) (differs bool) {
		t.Run("", func(t *testing.T) { differs = differsIn(t, s, f) != nil })
		return differs
	}
	small, flow := shrink(plan, flow, disagree)
	story := "(it agreed when it was tried again)"
	t.Run("", func(t *testing.T) {
		if d := differsIn(t, small, flow); d != nil {
			story = d.String()
		}
	})
	return story
}

// difference is a world and a flow about which engine and kernel differ.
type difference struct {
	lines  []string
	flow   rpdb.Flow
	engine rpdb.Decision
	kernel rpdb.Decision
	trace  fib.Trace
}

// differsIn builds a world and asks about one flow; nil if both agree.
func differsIn(t *testing.T, plan *rpdb.Snapshot, flow rpdb.Flow) *difference {
	w := build(t, plan)
	s := w.snapshot()
	if torn(s) || beyondKernel(s, flow) {
		return nil
	}
	f := fib.Compile(s)
	var found *difference
	for _, prefixes := range []bool{false, true} {
		err := w.kernel.RouteGets(context.Background(), []rpdb.Flow{flow}, prefixes, func(_ int, want rpdb.Decision, err error) error {
			got := f.Lookup(flow)
			if err == nil && found == nil && !agree(flow, got, want, prefixes) {
				found = &difference{w.lines, flow, got, want, f.Trace(flow)}
			}
			return nil
		})
		if err != nil {
			t.Log(err)
		}
	}
	return found
}

func (d *difference) String() string {
	return fmt.Sprintf("unshare -n sh -e <<'END'\n%s\n%s\nEND\nengine %s\nkernel %s\ntrace  %s",
		strings.Join(d.lines, "\n"), question(d.flow), js(d.engine), js(d.kernel), steps(d.trace))
}

// question is a flow in the words of ip route get.
func question(f rpdb.Flow) string {
	words := []string{"ip", f.Family().Flag(), "route", "get", f.Dst.String()}
	add := func(there bool, key string, value any) {
		if there {
			words = append(words, key, fmt.Sprint(value))
		}
	}
	add(f.Src.IsValid(), "from", f.Src)
	add(f.IIF != "", "iif", f.IIF)
	add(f.OIF != "", "oif", f.OIF)
	add(f.Mark != 0, "mark", f.Mark)
	add(!f.IsInput(), "uid", f.UID)
	add(f.TOS != 0, "tos", fmt.Sprintf("0x%02x", f.TOS))
	add(f.IPProto != 0, "ipproto", uint8(f.IPProto))
	add(f.SPort != 0, "sport", f.SPort)
	add(f.DPort != 0, "dport", f.DPort)
	add(f.FlowLabel != 0, "flowlabel", fmt.Sprintf("%#x", f.FlowLabel))
	return strings.Join(words, " ")
}

// shrink leaves out of a world what is not needed for a disagreement, and of
// the flow, until nothing more can go.
func shrink(s *rpdb.Snapshot, flow rpdb.Flow, disagree func(*rpdb.Snapshot, rpdb.Flow) bool) (*rpdb.Snapshot, rpdb.Flow) {
	small := *s
	still := func() bool { return disagree(&small, flow) }
	small.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r rpdb.Route) bool { return r.Protocol == rpdb.ProtocolKernel })
	small.Rules, small.Addresses = slices.Clone(s.Rules), slices.Clone(s.Addresses)
	small.Neighbours, small.Nexthops = slices.Clone(s.Neighbours), slices.Clone(s.Nexthops)
	for before := -1; before != sizeOf(&small); {
		before = sizeOf(&small)
		leaveOut(&small.Rules, still)
		leaveOut(&small.Routes, still)
		leaveOut(&small.Nexthops, still)
		leaveOut(&small.Neighbours, still)
		leaveOut(&small.Addresses, still)
	}
	return &small, shrinkFlow(flow, func(f rpdb.Flow) bool { return disagree(&small, f) })
}

func sizeOf(s *rpdb.Snapshot) int {
	return len(s.Rules) + len(s.Routes) + len(s.Nexthops) + len(s.Neighbours) + len(s.Addresses)
}

// leaveOut takes runs of elements away, long ones first, as long as still is
// true without them.
func leaveOut[T any](list *[]T, still func() bool) {
	for size := (len(*list) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len(*list); {
			whole := *list
			*list = slices.Delete(slices.Clone(whole), at, min(at+size, len(whole)))
			if !still() {
				*list = whole
				at += size
			}
		}
	}
}

// shrinkFlow takes what a flow says away, one thing after the other.
func shrinkFlow(f rpdb.Flow, still func(rpdb.Flow) bool) rpdb.Flow {
	for _, clear := range []func(*rpdb.Flow){
		func(f *rpdb.Flow) { f.Mark = 0 },
		func(f *rpdb.Flow) { f.UID = 0 },
		func(f *rpdb.Flow) { f.TOS = 0 },
		func(f *rpdb.Flow) { f.SPort = 0 },
		func(f *rpdb.Flow) { f.DPort = 0 },
		func(f *rpdb.Flow) { f.IPProto = rpdb.UDP },
		func(f *rpdb.Flow) { f.FlowLabel = 0 },
		func(f *rpdb.Flow) { f.OIF = "" },
		func(f *rpdb.Flow) {
			if !f.IsInput() {
				f.Src = netip.Addr{}
			}
		},
	} {
		less := f
		clear(&less)
		if less != f && still(less) {
			f = less
		}
	}
	return f
}

// TestShrink plants a disagreement that needs one rule, one route and the mark.
func TestShrink(t *testing.T) {
	s := &rpdb.Snapshot{}
	for i := range 40 {
		s.Rules = append(s.Rules, rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(i)})
		s.Routes = append(s.Routes, rpdb.Route{Family: rpdb.IPv4, Metric: uint32(i)}, rpdb.Route{Protocol: rpdb.ProtocolKernel})
		s.Addresses = append(s.Addresses, rpdb.Address{Link: rpdb.LinkIndex(i)})
	}
	flow := rpdb.Flow{Dst: netip.MustParseAddr("192.0.2.1"), Mark: 7, TOS: 4, SPort: 9, UID: 3, OIF: "e0"}
	tried := 0
	small, flow := shrink(s, flow, func(s *rpdb.Snapshot, f rpdb.Flow) bool {
		tried++
		return slices.ContainsFunc(s.Rules, func(r rpdb.Rule) bool { return r.Priority == 23 }) &&
			slices.ContainsFunc(s.Routes, func(r rpdb.Route) bool { return r.Metric == 5 }) && f.Mark == 7
	})
	if len(small.Rules) != 1 || len(small.Routes) != 1 || len(small.Addresses) != 0 {
		t.Errorf("left over: %d rules, %d routes, %d addresses", len(small.Rules), len(small.Routes), len(small.Addresses))
	}
	if want := "ip -4 route get 192.0.2.1 mark 7 uid 0 ipproto 17"; question(flow) != want {
		t.Errorf("got  %s\nwant %s", question(flow), want)
	}
	if tried > 200 || len(s.Rules) != 40 {
		t.Errorf("%d tries; the world has %d rules now", tried, len(s.Rules))
	}
}

func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func steps(tr fib.Trace) string {
	var b strings.Builder
	for _, l := range tr.Lookups {
		b.WriteString("\n    " + string(l.Purpose) + " " + js(l.Flow))
		for _, s := range l.Steps() {
			b.WriteString("\n      " + s.Rule.String() + ": " + s.Detail.String())
		}
	}
	return b.String()
}
