package kerneltest

import (
	"context"
	"errors"
	"testing"

	"rpdb/kernel"
	"rpdb/kernel/netlink"
)

// Kernel is the real kernel as a [Target]: a connection to one namespace.
type Kernel struct {
	*kernel.Conn
	raw *netlink.Conn
}

// Real returns the real kernel in a fresh namespace (see [Namespace]), for the
// life of the test.
func Real(t testing.TB) *Kernel {
	t.Helper()
	ns := Namespace(t)
	c, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := netlink.Dial(netlink.Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return &Kernel{Conn: c, raw: raw}
}

// Execute runs a command. Rules and routes are sent as ip sends them, without
// the care that Do takes: a delete takes the first object that fits.
func (k *Kernel) Execute(ctx context.Context, c Command) error {
	switch c := c.(type) {
	case RuleCommand:
		return k.send(ctx, "rule", encodeRule(c))
	case RouteCommand:
		return k.send(ctx, "route", encodeRoute(c))
	case LinkAdd:
		return k.AddVeth(kernel.VethEnd{Name: c.A}, kernel.VethEnd{Name: c.B})
	case LinkSet:
		return k.SetLink(c.Name, c.Change)
	case LinkDelete:
		return k.DeleteLink(c.Name)
	case AddressAdd:
		return k.AddAddress(c.Link, c.Prefix, c.Options)
	case AddressDelete:
		return k.DeleteAddress(c.Link, c.Prefix)
	case NeighbourSet:
		return k.SetNeighbour(c.Link, c.Addr, c.LLAddr, c.State)
	case NeighbourDelete:
		return k.DeleteNeighbour(c.Link, c.Addr)
	case NexthopAdd:
		return k.AddNexthop(c.Object)
	case NexthopDelete:
		return k.DeleteNexthop(c.ID)
	case SysctlSet:
		return k.NetNS().SetSysctl(c.Key, c.Value)
	default:
		panic("kerneltest: unknown command")
	}
}

// send makes the kernel's refusal look as kernel.Conn makes it look.
func (k *Kernel) send(ctx context.Context, object string, e *netlink.Encoder) error {
	err := k.raw.Execute(ctx, e, nil)
	var refused *netlink.Error
	if errors.As(err, &refused) {
		return &kernel.OpError{Op: "change", Object: object, Err: refused.Errno, Message: refused.Message, Offset: refused.Offset}
	}
	return err
}
