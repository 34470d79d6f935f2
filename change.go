package rpdb

import "fmt"

// ChangeOp is what a [Change] does. The zero value is nothing and is refused.
type ChangeOp uint8

// Add makes an object and refuses one that is there. Replace puts a route in
// the place of the one with the same key, or adds it; rules cannot be
// replaced. Delete takes away exactly the object given.
const (
	Add     ChangeOp = 1
	Replace ChangeOp = 2
	Delete  ChangeOp = 3
)

var changeOpWords = wordTable[ChangeOp]{kind: "change", words: []wordOf[ChangeOp]{
	{0, "none"}, {Add, "add"}, {Replace, "replace"}, {Delete, "delete"},
}}

// String returns the verb of ip(8): "add", "replace" or "delete".
func (o ChangeOp) String() string { return changeOpWords.word(o) }

// MarshalText writes the verb.
func (o ChangeOp) MarshalText() ([]byte, error) { return changeOpWords.marshal(o) }

// UnmarshalText reads what MarshalText writes.
func (o *ChangeOp) UnmarshalText(text []byte) error { return changeOpWords.unmarshal(text, o) }

// Change is one message to the kernel: one rule or one route, added, replaced
// or deleted, or all that our table of nftables holds, replaced. Exactly one of
// Rule, Route and NAT is set; the values belong to the Change and are not modified.
type Change struct {
	Op    ChangeOp `json:"op"`
	Rule  *Rule    `json:"rule,omitempty"`
	Route *Route   `json:"route,omitempty"`
	// NAT is what the table holds then; without any translation it is gone. With
	// another Op than Replace these are some that come or go, which is no message.
	NAT *NAT `json:"nat,omitempty"`
}

// RuleChange returns a change of a rule.
func RuleChange(op ChangeOp, r Rule) Change { return Change{Op: op, Rule: &r} }

// RouteChange returns a change of a route.
func RouteChange(op ChangeOp, r Route) Change { return Change{Op: op, Route: &r} }

// NATChange returns a change of what our table of nftables holds.
func NATChange(op ChangeOp, list []Translation) Change {
	return Change{Op: op, NAT: &NAT{Translations: SortTranslations(list)}}
}

// Object names what is changed, as in "rule 100 (IPv4)".
func (c Change) Object() string {
	switch {
	case c.Rule != nil:
		return c.Rule.String()
	case c.Route != nil:
		return c.Route.String()
	case c.NAT != nil && c.Op == Replace:
		return "table rpdb of nftables"
	case c.NAT != nil && len(c.NAT.Translations) > 0:
		return c.NAT.Translations[0].String()
	}
	return "nothing"
}

// String names the change, as in "add rule 100 (IPv4)".
func (c Change) String() string { return fmt.Sprintf("%v %s", c.Op, c.Object()) }
