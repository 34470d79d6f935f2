package nft_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb/kernel/kerneltest"
	"rpdb/kernel/netlink"
)

const subsystem = 10 << 8

func nfMessage(typ uint16, resource uint16, write func(*netlink.Encoder)) *netlink.Encoder {
	e := netlink.NewEncoder(nil, typ, netlink.Create, []byte{unix.AF_INET, 0, byte(resource >> 8), byte(resource)})
	if write != nil {
		write(e)
	}
	return e
}

func tableMessage(name string) *netlink.Encoder {
	return nfMessage(subsystem, 0, func(e *netlink.Encoder) { e.String(1, name) })
}

// TestTransact: all of a batch is made or none, and who refused is named. It
// stands here because it needs a namespace and nf_tables.
func TestTransact(t *testing.T) {
	ns := kerneltest.Namespace(t)
	c, err := netlink.Dial(netlink.Options{Protocol: unix.NETLINK_NETFILTER, NetNS: ns.FD()})
	must(t, err)
	defer c.Close()
	begin := func(write func(*netlink.Encoder)) *netlink.Encoder { return nfMessage(0x10, 10, write) }
	end := nfMessage(0x11, 10, nil)
	missing := nfMessage(subsystem+3, 0, func(e *netlink.Encoder) { e.String(1, "nowhere"); e.String(3, "c") })
	many := []*netlink.Encoder{begin(nil)}
	for range 2000 { // more than a datagram of other batches holds
		many = append(many, tableMessage("many"))
	}
	for _, x := range []struct {
		name    string
		batch   []*netlink.Encoder
		refused int
		want    error
		tables  string // that stand afterwards
	}{
		{"one change", []*netlink.Encoder{begin(nil), tableMessage("a"), end}, -1, nil, "a"},
		{"a long one", append(many, end), -1, nil, "a many"},
		{"one is refused", []*netlink.Encoder{begin(nil), tableMessage("b"), missing, tableMessage("c"), end}, 2, unix.ENOENT, "a many"},
		{"the last is refused", []*netlink.Encoder{begin(nil), tableMessage("b"), missing, end}, 2, unix.ENOENT, "a many"},
		{"two are", []*netlink.Encoder{begin(nil), missing, tableMessage("b"), missing, end}, 1, unix.ENOENT, "a many"},
		{
			"of another time",
			[]*netlink.Encoder{begin(func(e *netlink.Encoder) { e.NetUint32(1, 12345) }), tableMessage("b"), end},
			-1, unix.ERESTART, "a many",
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			var b netlink.Batch
			for _, e := range x.batch {
				must(t, b.Add(e))
			}
			refused, err := c.Transact(t.Context(), &b)
			if refused != x.refused || !errors.Is(err, x.want) {
				t.Errorf("%d, %v; want %d, %v", refused, err, x.refused, x.want)
			}
			var names []string
			_, err = c.Dump(t.Context(), nfMessage(subsystem+1, 0, nil), func(m netlink.Message) error {
				d := netlink.NewDecoder(m.Data[4:])
				for d.Next() {
					if d.Type() == 1 {
						names = append(names, d.String())
					}
				}
				return d.Err()
			})
			if got := strings.Join(names, " "); err != nil || got != x.tables {
				t.Errorf("tables %q, %v; want %q", got, err, x.tables)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var b netlink.Batch
	must(t, b.Add(begin(nil)))
	must(t, b.Add(end))
	if _, err := c.Transact(t.Context(), &b); err == nil {
		t.Error("nothing in the frame")
	}
	b.Reset()
	for _, e := range []*netlink.Encoder{begin(nil), tableMessage("d"), end} {
		must(t, b.Add(e))
	}
	if _, err := c.Transact(ended, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("ended before: %v", err)
	}
	err = asNobody(func() error {
		refused, err := c.Transact(t.Context(), &b)
		if refused != -1 {
			t.Errorf("message %d refused", refused)
		}
		return err
	})
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("without privilege: %v", err)
	}
}
