package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// transaction is a batch, and what each message of it is about.
type transaction struct {
	batch   netlink.Batch
	objects []string
	err     error
}

func (t *transaction) add(object string, e *netlink.Encoder) {
	if err := t.batch.Add(e); err != nil && t.err == nil {
		t.err = fmt.Errorf("%s: %w", object, err)
	}
	t.objects = append(t.objects, object)
}

// transact puts the translations in the place of what stands, unless somebody has
// changed anything in nf_tables since that was read (ERESTART). The object is what
// the error is about.
func (c *Conn) transact(ctx context.Context, is standing, want []rpdb.Translation) (object string, err error) {
	var t transaction
	begin := netlink.NewEncoder(nil, batchBegin, 0, head(0, subsystem>>8))
	begin.NetUint32(1, is.generation)
	t.add("translations", begin)
	for _, f := range is.families {
		e := netlink.NewEncoder(nil, delTable, 0, head(f, 0))
		e.String(1, tableName)
		t.add(table{family: f}.String(), e)
	}
	for _, f := range rpdb.Families() {
		t.addTable(f, expand(f, want))
	}
	t.add("translations", netlink.NewEncoder(nil, batchEnd, 0, head(0, subsystem>>8)))
	if t.err != nil {
		return "translations", t.err
	}
	if err := c.makeRoom(t.batch.Size()); err != nil {
		return fmt.Sprintf("%d translations", len(want)), err
	}
	refused, err := c.nl.Transact(ctx, &t.batch)
	if refused < 0 {
		return "translations", err
	}
	return t.objects[refused], lacking(err)
}

// makeRoom has the socket send as much at once as a transaction needs, which cannot
// come in pieces. Who is not privileged over the whole machine cannot have more
// than its limit.
func (c *Conn) makeRoom(size int) error {
	// The kernel doubles what it is told, and keeps some of it for itself.
	const own = 4096
	var room int
	var failed error
	err := c.nl.Control(func(fd int) {
		if room, failed = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); failed != nil || room >= size+own {
			return
		}
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size+own) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size+own)
		}
		room, failed = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	switch {
	case err != nil || failed != nil:
		return errors.Join(err, failed)
	case room < size+own:
		return fmt.Errorf("%w: they take one message of %d bytes, and a process without privilege over the machine can send %d (twice net.core.wmem_max)", ErrTooMany, size, room-own)
	}
	return nil
}

// lacking tells what the kernel does not know from what it does not want.
func lacking(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("a part of nf_tables is %w", ErrUnsupported)
	}
	return err
}

// addTable adds a table with the chains that have rules.
func (t *transaction) addTable(family rpdb.Family, rules []rule) {
	if len(rules) == 0 {
		return
	}
	e := netlink.NewEncoder(nil, newTable, netlink.Create, head(family, 0))
	e.String(1, tableName)
	e.NetUint32(2, 0)
	e.Bytes(6, comment(tableComment))
	t.add(table{family: family}.String(), e)
	for _, ch := range chains() {
		if slices.ContainsFunc(rules, func(r rule) bool { return r.chain == ch.name }) {
			t.addChain(family, ch)
		}
	}
	for _, r := range rules {
		t.addRule(family, r)
	}
}

func (t *transaction) addChain(family rpdb.Family, ch chain) {
	e := netlink.NewEncoder(nil, newChain, netlink.Create, head(family, 0))
	e.String(1, tableName)
	e.String(3, ch.name)
	e.Nest(4|netlink.Nested, func() {
		e.NetUint32(1, ch.hook)
		e.NetUint32(2, uint32(ch.priority))
	})
	e.NetUint32(5, verdictAccept)
	e.String(7, ch.typ)
	t.add(fmt.Sprintf("chain %s (%v)", ch.name, family), e)
}

func (t *transaction) addRule(family rpdb.Family, r rule) {
	e := netlink.NewEncoder(nil, newRule, netlink.Create|netlink.Append, head(family, 0))
	e.String(1, tableName)
	e.String(2, r.chain)
	e.Nest(4|netlink.Nested, func() {
		for _, x := range r.exprs {
			encodeExpr(e, x)
		}
	})
	e.Bytes(7, comment(r.comment))
	t.add(fmt.Sprintf("%q (%v)", r.comment, family), e)
}
