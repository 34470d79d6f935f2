package differential

import (
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"strings"

	"rpdb"
	"rpdb/fib"
	"rpdb/internal/corpus"
)

// cell is one thing that a run must have tried often: a selector that let a
// rule apply, or that alone kept a rule from applying, for flows of a
// direction.
type cell struct {
	selector     corpus.Kind
	input, match bool
}

func (c cell) String() string {
	names := strings.Fields("from to iif oif fwmark tos dscp uidrange ipproto sport dport flowlabel tun_id")
	direction, kind := "output", "near miss"
	if c.input {
		direction = "input"
	}
	if c.match {
		kind = "match"
	}
	return fmt.Sprintf("%s %s %s", direction, names[c.selector], kind)
}

// coverage counts cells of one family.
type coverage [corpus.Kinds][2][2]int64

func (c *coverage) at(k cell) *int64 { return &c[k.selector][number(k.input)][number(k.match)] }

// verdicts are what the selectors of a rule say about a flow: those that there
// are, and those that do not hold.
type verdicts struct{ there, failing []corpus.Kind }

func (v *verdicts) add(there bool, selector corpus.Kind, holds bool) {
	if there {
		v.there = append(v.there, selector)
		if !holds {
			v.failing = append(v.failing, selector)
		}
	}
}

// say fills in what each selector says. It is written from the manual, not from
// the engine, and knows nothing of tables.
func (v *verdicts) say(s *rpdb.Selector, f *rpdb.Flow) {
	v.there, v.failing = v.there[:0], v.failing[:0]
	iif := f.IIF
	if !f.IsInput() {
		iif = "lo"
	}
	v.add(s.From.Bits() > 0, corpus.From, f.Src.IsValid() && s.From.Contains(f.Src))
	v.add(s.To.Bits() > 0, corpus.To, s.To.Contains(f.Dst))
	v.add(s.IIF != "", corpus.IIF, s.IIF == iif)
	v.add(s.OIF != "", corpus.OIF, s.OIF == f.OIF && !f.IsInput())
	v.add(s.Mark.Mask != 0, corpus.Mark, (s.Mark.Value^f.Mark)&s.Mark.Mask == 0)
	v.add(s.TOS != 0, corpus.TOS, tosHolds(s.TOS, f))
	if d, ok := s.DSCP.Get(); ok && d.Mask != 0 {
		v.add(true, corpus.DSCP, (d.Value^f.TOS>>2)&d.Mask == 0)
	}
	if u, ok := s.UIDRange.Get(); ok {
		v.add(true, corpus.UIDRange, u.First <= f.UID && f.UID <= u.Last)
	}
	v.add(s.IPProto != 0, corpus.IPProto, s.IPProto == f.IPProto)
	v.add(s.SPort != rpdb.Ports{}, corpus.SPort, portHolds(s.SPort, f.SPort))
	v.add(s.DPort != rpdb.Ports{}, corpus.DPort, portHolds(s.DPort, f.DPort))
	v.add(s.FlowLabel.Mask != 0, corpus.FlowLabel, (s.FlowLabel.Value^f.FlowLabel)&s.FlowLabel.Mask == 0)
	v.add(s.TunID != 0, corpus.TunID, s.TunID == f.TunID)
}

func tosHolds(tos uint8, f *rpdb.Flow) bool {
	if f.Dst.Is4() {
		return tos == f.TOS&0x1c
	}
	return tos>>2 == f.TOS>>2
}

func portHolds(p rpdb.Ports, port uint16) bool {
	if p.Mask != 0 && p.First == p.Last {
		return (p.First^port)&p.Mask == 0
	}
	return p.First <= port && port <= p.Last
}

// decided is a flow and what the engine made of it.
type decided struct {
	engine *fib.FIB
	rules  []rpdb.Rule // of the family
	flow   *rpdb.Flow
	got    rpdb.Decision
}

// count notes what the rules that were asked said about a flow. It follows the
// list to the rule that decided, which is quick; where more rules of that
// priority may have been asked, it counts too little rather than too much.
// Where no rule decided about a flow of a bound socket, the engine has to tell
// which were asked; other flows of that kind do not count.
func (c *coverage) count(v *verdicts, d decided) {
	last, ok := d.got.Rule.Get()
	if !ok && d.flow.OIF != "" {
		c.countTraced(v, d)
	}
	if !ok {
		return
	}
	for i := 0; i < len(d.rules) && d.rules[i].Priority <= last; i++ {
		r := &d.rules[i]
		c.ask(v, r, d.flow)
		switch matches := (len(v.failing) == 0) != r.Selector.Not; {
		case !matches:
		case r.Action.Type() == rpdb.ActionGoto:
			target := func(o rpdb.Rule) bool { return o.Priority == r.Action.Target() }
			if j := slices.IndexFunc(d.rules, target); j > i {
				i = j - 1
			}
		case r.Action.Type() != rpdb.ActionNop && r.Priority == last:
			return
		}
	}
}

// countTraced is count by the steps of the first lookup.
func (c *coverage) countTraced(v *verdicts, d decided) {
	lookups := d.engine.Trace(*d.flow).Lookups
	if len(lookups) == 0 {
		return
	}
	steps := lookups[0].Steps()
	if len(steps) != len(d.rules) {
		return // decided before any rule was asked, or by the built-in ones
	}
	for i, step := range steps {
		if _, not := step.Detail.(fib.NotAsked); !not {
			c.ask(v, &d.rules[i], d.flow)
		}
	}
}

// ask notes what one rule says.
func (c *coverage) ask(v *verdicts, r *rpdb.Rule, f *rpdb.Flow) {
	v.say(&r.Selector, f)
	switch len(v.failing) {
	case 0:
		for _, s := range v.there {
			*c.at(cell{s, f.IsInput(), true})++
		}
	case 1:
		*c.at(cell{v.failing[0], f.IsInput(), false})++
	}
}

// add joins two counts.
func (c *coverage) add(o *coverage) {
	for k := range cells() {
		*c.at(k) += *o.at(k)
	}
}

// cells goes over all cells.
func cells() iter.Seq[cell] {
	return func(yield func(cell) bool) {
		for s := range corpus.Kinds {
			for _, k := range []cell{{s, false, true}, {s, false, false}, {s, true, true}, {s, true, false}} {
				if !yield(k) {
					return
				}
			}
		}
	}
}

// impossible says why a cell cannot be reached by asking a kernel, "" if it
// can.
func (c cell) impossible(f rpdb.Family) string {
	switch {
	case c.selector == corpus.TunID && c.match:
		return "route get knows no tunnel ids"
	case c.selector == corpus.OIF && c.input && c.match:
		return "what comes in is bound to no interface"
	case c.selector == corpus.FlowLabel && f == rpdb.IPv4:
		return "IPv4 has no flow label"
	case c.selector == corpus.UIDRange && c.input && !c.match && oneUser():
		return "packets that come in are root's, and an ordinary user's namespace knows no other user that a rule could be about"
	}
	return ""
}

// oneUser reports whether the user namespace has one user only.
func oneUser() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return err == nil && len(fields) == 3 && fields[2] == "1"
}

// missing lists the cells that were reached less often than wanted, and names
// the one that was reached least often, and how often that was.
func (c *coverage) missing(f rpdb.Family, want int64) (list []string, least string, tried int64) {
	tried = math.MaxInt64
	for k := range cells() {
		if k.impossible(f) != "" {
			continue
		}
		n := *c.at(k)
		if n < tried {
			tried, least = n, fmt.Sprintf("%v %v", f, k)
		}
		if n < want {
			list = append(list, fmt.Sprintf("%v %v: %d", f, k, n))
		}
	}
	return list, least, tried
}
