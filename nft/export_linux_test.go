package nft

import (
	"math/rand/v2"
	"slices"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Reread writes the rules of a list as the kernel is sent them and reads them
// back, after damage, if it is not nil, has changed the expressions of one rule in
// place. Untouched says that these are still the same rules.
func Reread(f rpdb.Family, list []rpdb.Translation, r *rand.Rand, damage func([]byte)) (got []rpdb.Translation, unknown []string, untouched bool, err error) {
	rules := expand(f, list)
	read := slices.Clone(rules)
	victim := -1
	if damage != nil && len(rules) > 0 {
		victim = r.IntN(len(rules))
	}
	for i := range read {
		e := netlink.NewEncoder(nil, newRule, 0, nil)
		for _, x := range read[i].exprs {
			encodeExpr(e, x)
		}
		if _, err := e.Message(); err != nil {
			return nil, nil, false, err
		}
		b := slices.Clone(e.Payload())
		if i == victim {
			damage(b)
		}
		if read[i].exprs, err = decodeExprs(netlink.NewDecoder(b)); err != nil {
			return nil, nil, false, err
		}
	}
	got, unknown = collect(f, read)
	return got, unknown, slices.EqualFunc(rules, read, same), nil
}

// Supported, Lacking and Comment are parts that only other kernels, or others, try.
var (
	Supported = supported
	Lacking   = lacking
	Comment   = commentOf
	Clash     = clash
	Clashing  = clashing
)

// MakeRoom prepares a connection for a transaction of a size.
func (c *Conn) MakeRoom(size int) error { return c.makeRoom(size) }
