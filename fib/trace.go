package fib

import (
	"encoding/json"
	"fmt"
	"strconv"

	"rpdb"
)

// Trace is the story of one decision. Its decision is always that of
// [FIB.Lookup]: both are made by the same code. It refers to the FIB, and is as
// safe for concurrent use.
type Trace struct {
	Flow     rpdb.Flow     `json:"flow"`
	Decision rpdb.Decision `json:"decision"`
	// Lookups are the questions asked of the rules, in order. A connect(2)
	// asks more than once; an incoming packet may be followed by the
	// reverse-path check. A lookup without steps was answered before the
	// rules were asked.
	Lookups []LookupTrace `json:"lookups"`
	// ReverseChecks are the checks of the way back to the source of a packet
	// that came in, one for each interface that it may leave by. Those that
	// were asked of the rules belong to the lookups for that purpose, in order.
	ReverseChecks []ReverseCheck `json:"reverse_checks,omitempty"`
}

// Purpose says what a lookup is for.
type Purpose string

// The purposes: a packet generated here, the same asked again with the source
// that the first answer picked, a packet that came in, and the way back to its
// source.
const (
	Output      Purpose = "output"
	Repeat      Purpose = "repeat"
	Input       Purpose = "input"
	ReversePath Purpose = "reverse-path"
)

// LookupTrace is one walk of the rules.
type LookupTrace struct {
	Purpose Purpose
	// Flow is what the rules see; IIF is "lo" in the reverse-path check of a
	// packet delivered locally.
	Flow     rpdb.Flow
	Decision rpdb.Decision

	tape   *tape // nil: answered before the rules were asked
	source chosenBy
}

// Steps returns what became of the rules, nil if the answer came before they
// were asked. Each call makes the list anew from what the walk took down; it is
// the caller's.
func (l *LookupTrace) Steps() []Step {
	if l.tape == nil {
		return nil
	}
	return l.tape.steps()
}

// MarshalJSON writes an object with "purpose", "flow", "steps", null if the
// rules were not asked, "decision" and, where one was chosen, "source".
func (l LookupTrace) MarshalJSON() ([]byte, error) {
	j := struct {
		Purpose  Purpose       `json:"purpose"`
		Flow     rpdb.Flow     `json:"flow"`
		Steps    []Step        `json:"steps"`
		Decision rpdb.Decision `json:"decision"`
		Source   *Source       `json:"source,omitempty"`
	}{l.Purpose, l.Flow, l.Steps(), l.Decision, nil}
	if source, ok := l.Source(); ok {
		j.Source = &source
	}
	return json.Marshal(j)
}

// Step is what became of one rule. Every rule of the list has exactly one step
// in each walk, in the order of the list, also those that were not asked.
type Step struct {
	Rule   rpdb.Rule
	Detail Detail
	// Candidates are the routes that the rule's table passed over for its
	// answer, in the order in which it came to them.
	Candidates []Candidate
}

// stepJSON is the JSON form of a Step: Outcome names the type of Detail.
type stepJSON struct {
	Rule    rpdb.Rule `json:"rule"`
	Outcome string    `json:"outcome"`
	Detail  Detail    `json:"detail,omitempty"`
	// Candidates is absent where there are none.
	Candidates []Candidate `json:"candidates,omitempty"`
}

// MarshalJSON writes an object with "rule", "outcome" (not-matched, miss,
// no-table, throw, suppressed, chosen, denied, goto, unresolved-goto, nop,
// not-asked, unknown) and, where there is more to say, "detail" and "candidates".
func (s Step) MarshalJSON() ([]byte, error) {
	j := stepJSON{Rule: s.Rule, Outcome: "not-asked", Detail: s.Detail, Candidates: s.Candidates}
	switch s.Detail.(type) {
	case NotMatched:
		j.Outcome = "not-matched"
	case Miss:
		j.Outcome = "miss"
	case NoTable:
		j.Outcome = "no-table"
	case Throw:
		j.Outcome = "throw"
	case Suppressed:
		j.Outcome = "suppressed"
	case Chosen:
		j.Outcome = "chosen"
	case Denied:
		j.Outcome = "denied"
	case GotoFollowed:
		j.Outcome = "goto"
	case GotoUnresolved:
		j.Outcome = "unresolved-goto"
	case NopPassed:
		j.Outcome, j.Detail = "nop", nil
	case NotAsked:
		j.Detail = nil
	case Unknown:
		j.Outcome = "unknown"
	}
	return json.Marshal(j)
}

// Detail says what a rule did. It is one of the types of this package that end
// in a sealed method; String is a clause for people, without the rule itself.
type Detail interface {
	fmt.Stringer
	detail()
}

// NotMatched says that the rule does not apply. Field is the first selector that is
// false, in the words of ip-rule(8), or "not" if all are true and inverted.
type NotMatched struct {
	Field string `json:"selector"`
	// Packet is what the packet has in this place, and Rule what the rule
	// wants, as ip-rule(8) writes them but for names. Packet is empty for what
	// the packet does not have: a source, an interface.
	Packet string `json:"packet,omitzero"`
	Rule   string `json:"rule,omitzero"`
	// Detached says that the interface that the rule wants does not exist.
	Detached bool `json:"detached,omitzero"`
}

// Miss says that the table has no usable route to the destination.
type Miss struct {
	Table rpdb.TableID `json:"table"`
}

// NoTable says that the table does not exist or is empty.
type NoTable struct {
	Table rpdb.TableID `json:"table"`
}

// Throw says that the table's best route says to leave the table.
type Throw struct {
	Table rpdb.TableID `json:"table"`
	Route rpdb.Route   `json:"route"`
}

// Suppressed says that the table has a route, and the rule refuses it. By is
// "suppress_prefixlength" or "suppress_ifgroup".
type Suppressed struct {
	Table rpdb.TableID `json:"table"`
	Route rpdb.Route   `json:"route"`
	By    string       `json:"by"`
}

// Chosen is the route that the packet takes, and its nexthop. Either is as in
// [rpdb.Decision].
type Chosen struct {
	Table  rpdb.TableID `json:"table"`
	Route  rpdb.Route   `json:"route"`
	Hop    rpdb.Hop     `json:"hop"`
	Either []rpdb.Hop   `json:"either,omitempty"`
}

// Denied says that the rule's action, or an error route in Table, ends the walk. Table
// is 0 and Route zero if the rule itself denies.
type Denied struct {
	Errno rpdb.Errno   `json:"errno"`
	Table rpdb.TableID `json:"table,omitzero"`
	Route rpdb.Route   `json:"route,omitzero"`
}

// GotoFollowed says that the walk went on at the first rule of priority Target.
type GotoFollowed struct {
	Target rpdb.Priority `json:"target"`
}

// GotoUnresolved says that there is no rule of priority Target, so the rule did nothing.
type GotoUnresolved struct {
	Target rpdb.Priority `json:"target"`
}

// NopPassed says that the rule applies and does nothing.
type NopPassed struct{}

// NotAsked says that the walk ended before the rule, or a goto jumped over it.
type NotAsked struct{}

// Unknown says that the rule would decide, but how is not in the snapshot.
type Unknown struct {
	Reason string `json:"reason"`
}

func (NotMatched) detail()     {}
func (Miss) detail()           {}
func (NoTable) detail()        {}
func (Throw) detail()          {}
func (Suppressed) detail()     {}
func (Chosen) detail()         {}
func (Denied) detail()         {}
func (GotoFollowed) detail()   {}
func (GotoUnresolved) detail() {}
func (NopPassed) detail()      {}
func (NotAsked) detail()       {}
func (Unknown) detail()        {}

// String returns "fwmark: packet has 0x0, rule wants 0x10/0xff", with the names
// of interfaces quoted.
func (d NotMatched) String() string { return d.Words(strconv.Quote) }

// Words is String with the names of interfaces as quote makes them.
func (d NotMatched) Words(quote func(string) string) string {
	if d.Field == "iif" || d.Field == "oif" {
		d.Packet, d.Rule = quote(d.Packet), quote(d.Rule)
	}
	switch {
	case d.Field == "not":
		return "everything matches, and the rule says not"
	case d.Field == "l3mdev":
		return "l3mdev: packet is in no VRF"
	case d.Rule == "":
		return d.Field + " does not match"
	case d.Detached:
		return fmt.Sprintf("%s: rule wants %s, which does not exist", d.Field, d.Rule)
	case d.Field == "oif" && d.Packet == quote(""):
		return "oif: packet is bound to none, rule wants " + d.Rule
	case d.Packet == "":
		return fmt.Sprintf("%s: packet has none yet, rule wants %s", d.Field, d.Rule)
	}
	return fmt.Sprintf("%s: packet has %s, rule wants %s", d.Field, d.Packet, d.Rule)
}

// String returns "no route in table 100".
func (d Miss) String() string { return fmt.Sprintf("no route in table %d", d.Table) }

// String returns "table 100 is empty".
func (d NoTable) String() string { return fmt.Sprintf("table %d is empty", d.Table) }

// String returns "throw 10.0.0.0/8 in table 100".
func (d Throw) String() string { return fmt.Sprintf("throw %v in table %d", d.Route.Dst, d.Table) }

// String returns "default in table 100 refused by suppress_prefixlength".
func (d Suppressed) String() string {
	return fmt.Sprintf("%s in table %d refused by %s", destination(d.Route), d.Table, d.By)
}

// String returns "default in table 100: via 192.0.2.1 dev eth0".
func (d Chosen) String() string {
	s := fmt.Sprintf("%s in table %d:", destination(d.Route), d.Table)
	if d.Route.Type != rpdb.RouteUnicast {
		s += " " + d.Route.Type.String()
	}
	if d.Hop.Via.IsValid() {
		s += " via " + d.Hop.Via.String()
	}
	if d.Hop.Link != "" {
		s += fmt.Sprintf(" dev %q", d.Hop.Link)
	}
	if len(d.Either) > 0 {
		s += fmt.Sprintf(", one of %d", len(d.Either))
	}
	return s
}

// String returns "denied with EACCES", and by which route.
func (d Denied) String() string {
	if d.Table == 0 {
		return fmt.Sprintf("denied with %v", d.Errno)
	}
	return fmt.Sprintf("%v %s in table %d: denied with %v", d.Route.Type, destination(d.Route), d.Table, d.Errno)
}

// String returns "goes on at 200".
func (d GotoFollowed) String() string { return fmt.Sprintf("goes on at %d", d.Target) }

// String returns "no rule 200 to go on at".
func (d GotoUnresolved) String() string { return fmt.Sprintf("no rule %d to go on at", d.Target) }

// String returns "does nothing".
func (NopPassed) String() string { return "does nothing" }

// String returns "not asked".
func (NotAsked) String() string { return "not asked" }

// String returns the reason.
func (d Unknown) String() string { return "unknown: " + d.Reason }

func destination(r rpdb.Route) string {
	s := "default"
	if !r.IsDefault() {
		s = r.Dst.String()
	}
	if r.Src.IsValid() {
		s += " from " + r.Src.String()
	}
	return s
}
