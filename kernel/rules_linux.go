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
