package differential

import (
	"fmt"
	"iter"
	"math"
	"os"
	"strings"

	"rpdb"
)

// The selectors that are counted. There is no VRF on the kernels that this was
// made for, so l3mdev is not among them.
const (
	byFrom = iota
	byTo
	byIIF
	byOIF
	byMark
	byTOS
	byDSCP
	byUID
	byProto
	bySPort
	byDPort
	byLabel
	byTunID
	selectorKinds
)

// cell is one thing that a run must have tried often: a selector that let a
// rule apply, or that alone kept a rule from applying, for flows of a
// direction.
type cell struct {
	selector     int
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
type coverage [selectorKinds][2][2]int64

func (c *coverage) at(k cell) *int64 { return &c[k.selector][number(k.input)][number(k.match)] }

// verdicts are what the selectors of a rule say about a flow: those that there
// are, and those that do not hold.
type verdicts struct{ there, failing []int }

func (v *verdicts) add(there bool, selector int, holds bool) {
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
	v.add(s.From.Bits() > 0, byFrom, f.Src.IsValid() && s.From.Contains(f.Src))
	v.add(s.To.Bits() > 0, byTo, s.To.Contains(f.Dst))
	v.add(s.IIF != "", byIIF, s.IIF == iif)
	v.add(s.OIF != "", byOIF, s.OIF == f.OIF && !f.IsInput())
	v.add(s.Mark.Mask != 0, byMark, (s.Mark.Value^f.Mark)&s.Mark.Mask == 0)
	v.add(s.TOS != 0, byTOS, tosHolds(s.TOS, f))
	if d, ok := s.DSCP.Get(); ok && d.Mask != 0 {
		v.add(true, byDSCP, (d.Value^f.TOS>>2)&d.Mask == 0)
	}
	if u, ok := s.UIDRange.Get(); ok {
		v.add(true, byUID, u.First <= f.UID && f.UID <= u.Last)
	}
	v.add(s.IPProto != 0, byProto, s.IPProto == f.IPProto)
	v.add(s.SPort != rpdb.Ports{}, bySPort, portHolds(s.SPort, f.SPort))
	v.add(s.DPort != rpdb.Ports{}, byDPort, portHolds(s.DPort, f.DPort))
	v.add(s.FlowLabel.Mask != 0, byLabel, (s.FlowLabel.Value^f.FlowLabel)&s.FlowLabel.Mask == 0)
	v.add(s.TunID != 0, byTunID, s.TunID == f.TunID)
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

// count notes what the rules of a family say about a flow.
func (c *coverage) count(v *verdicts, rules []rpdb.Rule, f *rpdb.Flow) {
	for i := range rules {
		v.say(&rules[i].Selector, f)
		switch len(v.failing) {
		case 0:
			for _, s := range v.there {
				*c.at(cell{s, f.IsInput(), true})++
			}
		case 1:
			*c.at(cell{v.failing[0], f.IsInput(), false})++
		}
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
		for s := range selectorKinds {
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
	case c.selector == byTunID && c.match:
		return "route get knows no tunnel ids"
	case c.selector == byOIF && c.input && c.match:
		return "what comes in is bound to no interface"
	case c.selector == byLabel && f == rpdb.IPv4:
		return "IPv4 has no flow label"
	case c.selector == byUID && oneUser():
		return "in a user namespace of an ordinary user, rules about any other user are refused, which are most"
	}
	return ""
}

// oneUser reports whether the user namespace has one user only.
func oneUser() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return err == nil && len(fields) == 3 && fields[2] == "1"
}

// missing lists the cells that were reached less often than wanted, and the one
// that was reached least often.
func (c *coverage) missing(f rpdb.Family, want int64) (list []string, least string) {
	smallest := int64(math.MaxInt64)
	for k := range cells() {
		if k.impossible(f) != "" {
			continue
		}
		n := *c.at(k)
		text := fmt.Sprintf("%v %v: %d", f, k, n)
		if n < smallest {
			smallest, least = n, text
		}
		if n < want {
			list = append(list, text)
		}
	}
	return list, least
}
