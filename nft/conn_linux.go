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

// Options say which namespace a connection is to.
type Options struct {
	// NetNS is the descriptor of the network namespace, 0 for the calling
	// thread's. It may be closed once the connection is open.
	NetNS int
}

// Conn is a connection to nf_tables in one network namespace. It is safe for
// concurrent use.
type Conn struct{ nl *netlink.Conn }

// Open connects to a namespace. Where the kernel has no netfilter at all the
// error is [ErrUnsupported].
func Open(o Options) (*Conn, error) {
	nl, err := netlink.Dial(netlink.Options{Protocol: unix.NETLINK_NETFILTER, NetNS: o.NetNS})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		err = ErrUnsupported
	}
	if err != nil {
		return nil, &Error{Op: "open", Object: "connection to nf_tables", Err: err}
	}
	return &Conn{nl}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.nl.Close() }

// attempts is how often something is tried that others disturb.
const attempts = 10

// Read returns what stands in nf_tables under our name: nothing at all is the
// zero State.
func (c *Conn) Read(ctx context.Context) (State, error) {
	s, err := c.read(ctx)
	if err != nil {
		return State{}, opError("read", "translations", err)
	}
	return s.State, nil
}

// standing is a State, and what a transaction wants to know besides.
type standing struct {
	State
	generation uint32
	families   []rpdb.Family // with a table of ours
}

// read reads until nothing has changed meanwhile.
func (c *Conn) read(ctx context.Context) (standing, error) {
	for range attempts {
		before, err := c.generation(ctx)
		if err != nil {
			return standing{}, err
		}
		s, err := c.readOnce(ctx)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return standing{}, err
		}
		after, err := c.generation(ctx)
		if err != nil {
			return standing{}, err
		}
		if s.generation = before; before == after {
			return s, nil
		}
	}
	return standing{}, ErrUnstable
}

func (c *Conn) readOnce(ctx context.Context) (s standing, err error) {
	tables, err := c.tables(ctx)
	if err != nil {
		return s, err
	}
	for _, t := range tables {
		if !t.ours() {
			s.Foreign = t.String()
			continue
		}
		rules, unknown, err := c.content(ctx, t.family)
		if err != nil {
			return s, err
		}
		list, more := collect(t.family, rules)
		s.families = append(s.families, t.family)
		s.Translations = append(s.Translations, list...)
		s.Unknown = append(append(s.Unknown, unknown...), more...)
		if len(list) == 0 && len(unknown)+len(more) == 0 {
			s.Unknown = append(s.Unknown, t.String()+" is empty")
		}
		if t.flags != 0 { // with "dormant" its chains see no packet
			s.Unknown = append(s.Unknown, fmt.Sprintf("%v has the flags %#x, which are not ours", t, t.flags))
		}
	}
	return s, nil
}

// Replace makes the list what stands, in one transaction: tables and everything
// else in them go. It sends nothing if the list stands already, and an empty list
// is [Conn.Delete]. See [Canonical] for what it refuses; then, and if a table of
// our name is not ours, nothing is changed. What stands is read back and compared.
//
// Flows that connection tracking knows keep the translation that they have, or
// their having none.
func (c *Conn) Replace(ctx context.Context, list []rpdb.Translation) error {
	return c.put(ctx, "replace", list)
}

// Delete takes our tables away. It is no error if there are none.
func (c *Conn) Delete(ctx context.Context) error { return c.put(ctx, "delete", nil) }

func (c *Conn) put(ctx context.Context, op string, list []rpdb.Translation) error {
	want, err := Canonical(list)
	if err != nil {
		return &Error{Op: op, Object: "translations", Err: err}
	}
	for range attempts {
		is, err := c.read(ctx)
		if err != nil {
			return opError(op, "translations", err)
		}
		if is.Foreign != "" {
			return &Error{Op: op, Object: is.Foreign, Err: ErrForeign}
		}
		if len(is.Unknown) == 0 && slices.Equal(is.Translations, want) {
			return nil
		}
		object, err := c.transact(ctx, is, want)
		if errors.Is(err, unix.ERESTART) {
			continue // somebody changed something, perhaps ours, since it was read
		}
		if err != nil {
			return opError(op, object, err)
		}
		return c.verify(ctx, op, want)
	}
	return &Error{Op: op, Object: "translations", Err: ErrUnstable}
}

// verify reads back what was written.
func (c *Conn) verify(ctx context.Context, op string, want []rpdb.Translation) error {
	is, err := c.read(ctx)
	switch {
	case err != nil:
		return opError(op, "translations", err)
	case len(is.Unknown) > 0:
		return &Error{Op: op, Object: "translations", Err: fmt.Errorf("the kernel keeps something else: %s", is.Unknown[0])}
	case !slices.Equal(is.Translations, want):
		return &Error{Op: op, Object: "translations", Err: fmt.Errorf("%d of them read back as %d others", len(want), len(is.Translations))}
	}
	return nil
}

// opError returns err as an Error. A refusal by the kernel is taken apart.
func opError(op, object string, err error) error {
	e := &Error{Op: op, Object: object, Err: err}
	var refused *netlink.Error
	if errors.As(err, &refused) {
		e.Err, e.Message = refused.Errno, refused.Message
	}
	return e
}
