package kernel

import (
	"context"

	"rpdb"
)

// Rules reads the rules of one family in the order of their list, as they were
// at one moment, and nothing else: what a listing needs. It needs no
// privilege. The caller owns the result.
func (c *Conn) Rules(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, error) {
	rules, err := c.rules(ctx, f)
	return rules, opError("read", "rules ("+f.String()+")", err)
}

// Links reads the interfaces as they were at one moment, and nothing else. It
// needs no privilege. The caller owns the result.
func (c *Conn) Links(ctx context.Context) ([]rpdb.Link, error) {
	var links []rpdb.Link
	err := c.steady(ctx, classLinks, func() (n int, err error) {
		links, _, n, err = c.dumpLinks(ctx)
		return n, err
	})
	return links, opError("read", "interfaces", err)
}

// rules reads the rules of a family as they were at one moment.
func (c *Conn) rules(ctx context.Context, f rpdb.Family) ([]rpdb.Rule, error) {
	var rules []rpdb.Rule
	err := c.steady(ctx, ofFamily(f, classRules4, classRules6), func() (n int, err error) {
		rules, n, err = c.dumpRules(ctx, f)
		return n, err
	})
	return rules, err
}
