package nft

import (
	"slices"

	"rpdb"
)

// chain is one of our base chains: where in the path of a packet it stands.
type chain struct {
	name, typ string
	hook      uint32
	priority  int32
}

// Hooks of netfilter, the same numbers in both families.
const hookPrerouting, hookPostrouting = 0, 4

// chains are those of a table, in the order in which they are written. A table
// has only the ones that hold something.
//
// The nat chains stand one before the usual dstnat (-100) and srcnat (100): the
// first that decides about a flow decides. The others enclose connection tracking
// (-200) and all nat, so that both see the inside addresses. Behind them all IPv6
// packets get the priority back that tied them to their rule.
func chains() []chain {
	return []chain{
		{"prerouting", "filter", hookPrerouting, -300},
		{"dstnat", "nat", hookPrerouting, -101},
		{"srcnat", "nat", hookPostrouting, 99},
		{"postrouting", "filter", hookPostrouting, 300},
		{"restore", "filter", hookPostrouting, 301},
	}
}

// rule is one rule of a chain. The comment tells people what it is for.
type rule struct {
	chain   string
	comment string
	exprs   []expr
}

func same(a, b rule) bool {
	return a.comment == b.comment && a.chain == b.chain && slices.Equal(a.exprs, b.exprs)
}

// index finds rules by their comments, of which long lists have many.
type index map[string][]rule

func (x index) add(r rule) { x[r.comment] = append(x[r.comment], r) }

func (x index) has(r rule) bool {
	return slices.ContainsFunc(x[r.comment], func(o rule) bool { return same(r, o) })
}

// remove takes a rule away once, and reports whether it was there.
func (x index) remove(r rule) bool {
	i := slices.IndexFunc(x[r.comment], func(o rule) bool { return same(r, o) })
	if i >= 0 {
		x[r.comment] = slices.Delete(x[r.comment], i, i+1)
	}
	return i >= 0
}

// expand returns the rules of one family's table for its translations, in the
// order of the chains and then of the list. Rules that translations have in
// common, such as the inbound map of two generations, stand once.
func expand(family rpdb.Family, list []rpdb.Translation) []rule {
	var all []rule
	seen := index{}
	for _, t := range list {
		if t.Family != family {
			continue
		}
		for _, r := range rulesOf(t) {
			if !seen.has(r) {
				seen.add(r)
				all = append(all, r)
			}
		}
	}
	if family == rpdb.IPv6 && slices.ContainsFunc(all, func(r rule) bool { return r.chain == "prerouting" }) {
		all = append(all, neighbours())
	}
	return inOrder(all, rule.turn)
}

// inOrder returns rules in the order of our chains, and those of one chain in turn.
func inOrder(rules []rule, turn func(rule) int) []rule {
	const turns = 8
	places := make([][]rule, (len(chains())+1)*turns)
	at := map[string]int{}
	for i, c := range chains() {
		at[c.name] = (i + 1) * turns
	}
	for _, r := range rules {
		i := at[r.chain] + turn(r) // those of strange chains come first
		places[i] = append(places[i], r)
	}
	return slices.Concat(places...)
}

// turn orders the rules of one chain: messages about neighbours leave it first,
// tracking is decided for every packet, embedded headers are changed before the
// address in front of them no longer says what they are.
func (r rule) turn() int {
	switch {
	case r.comment == commentNeighbours:
		return 0
	case slices.Contains(r.exprs, expr(notrack{})):
		return 1
	case r.embedded():
		return 2
	}
	return 3
}

// embedded reports whether the rule changes a header within an ICMP message.
func (r rule) embedded() bool {
	return slices.ContainsFunc(r.exprs, func(x expr) bool {
		p, ok := x.(payload)
		return ok && p.store && p.base == baseTransport
	})
}
