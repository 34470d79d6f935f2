package nft

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
)

// collect is the way back from expand: the translations that the rules of one
// family's table are, in order, and what else is there or missing.
func collect(family rpdb.Family, rules []rule) (list []rpdb.Translation, unknown []string) {
	standing := index{}
	for _, r := range rules {
		standing.add(r)
	}
	for _, c := range candidates(family, rules) {
		if c.Valid() != nil {
			continue
		}
		if missing := missingOf(c, standing); missing != "" {
			unknown = append(unknown, fmt.Sprintf("%q lacks a rule in chain %s", headOf(c), missing))
			continue
		}
		list = append(list, c)
	}
	expected := expand(family, list)
	if slices.EqualFunc(rules, expected, same) {
		return list, unknown
	}
	before := len(unknown)
	left := index{}
	for _, r := range expected {
		left.add(r)
	}
	for _, r := range rules {
		if !left.remove(r) {
			unknown = append(unknown, fmt.Sprintf("a rule in chain %s that is not ours%s", r.chain, described(r.comment)))
		}
	}
	for _, r := range expected {
		if left.remove(r) {
			unknown = append(unknown, fmt.Sprintf("no rule in chain %s%s", r.chain, described(r.comment)))
		}
	}
	if len(unknown) == before {
		unknown = append(unknown, fmt.Sprintf("the rules (%v) are in another order", family))
	}
	return list, unknown
}

func described(comment string) string {
	if comment == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", comment)
}

// candidates reads a translation off each rule that tells one, as far as one rule
// does; what it makes of a strange rule will not expand to that.
func candidates(family rpdb.Family, rules []rule) []rpdb.Translation {
	var all []rpdb.Translation
	for _, r := range rules {
		if r.chain != "srcnat" && r.chain != "postrouting" || r.embedded() {
			continue
		}
		t := rpdb.Translation{Family: family}
		readHead(r.comment, &t)
		rest := r.selector(&t)
		if readChange(&t, rest) && r.comment == headOf(t) && (len(all) == 0 || all[len(all)-1] != t) {
			all = append(all, t)
		}
	}
	return all
}

// readChange reads the kind and the outside block off what a rule does.
func readChange(t *rpdb.Translation, do []expr) bool {
	switch {
	case len(do) == 1 && do[0] == expr(masquerade{}):
		t.Kind = rpdb.TranslateMasquerade
	case len(do) == 2 || len(do) == 3: // one address, or the first and the last
		first, ok := do[0].(immediate)
		a, isAddr := netip.AddrFromSlice([]byte(first.data))
		if !ok || !isAddr {
			return false
		}
		t.Kind, t.To = rpdb.TranslateAddress, netip.PrefixFrom(a, a.BitLen())
		if len(do) == 3 {
			t.Kind, t.To = rpdb.TranslateBlock, netip.PrefixFrom(a, t.From.Bits())
		}
	default:
		return readStateless(t, do)
	}
	return true
}

// readStateless looks for where the address is put into the outside block: what
// stands before that in a checksum-neutral map is about one word of it.
func readStateless(t *rpdb.Translation, do []expr) bool {
	l := layoutOf(t.Family)
	for i := 0; i+2 < len(do); i++ {
		load, loads := do[i].(payload)
		change, changes := do[i+1].(bitwise)
		store, stores := do[i+2].(payload)
		if !loads || !changes || !stores || load.base != baseNetwork || load.off != l.source || !store.store {
			continue
		}
		whole := make([]byte, l.length)
		copy(whole, change.xor)
		a, ok := netip.AddrFromSlice(whole)
		if t.Kind = rpdb.TranslateStateless; load.len != l.length {
			t.Kind = rpdb.TranslateNeutral
		}
		t.To = netip.PrefixFrom(a, t.From.Bits())
		return ok && len(change.xor) <= len(whole)
	}
	return false
}

// missingOf names the chain of a rule that the translation needs and that is not
// there, "" if all are.
func missingOf(t rpdb.Translation, standing index) string {
	for _, r := range rulesOf(t) {
		if !standing.has(r) {
			return r.chain
		}
	}
	return ""
}
