package nft

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"rpdb/kernel/netlink"
)

// groupTables is the multicast group of nf_tables (NFNLGRP_NFTABLES).
const groupTables = 7

// watchBuffer is the kernel's buffer for events in bytes. A transaction of others may
// tell of thousands of rules at once.
const watchBuffer = 1 << 20

// Watcher hears when others change what stands in nf_tables under our name, as
// "nft flush ruleset" does. It is safe for concurrent use.
type Watcher struct{ nl *netlink.Conn }

// Watch subscribes to nf_tables. Everything that happens after it returns is told. It
// takes CAP_NET_ADMIN over the namespace.
func Watch(o Options) (*Watcher, error) {
	nl, err := netlink.Dial(netlink.Options{
		Protocol: unix.NETLINK_NETFILTER, NetNS: o.NetNS, Groups: []uint32{groupTables}, ReceiveBuffer: watchBuffer,
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		err = ErrUnsupported
	}
	if err != nil {
		return nil, &Error{Op: "watch", Object: "nf_tables", Err: err}
	}
	return &Watcher{nl}, nil
}

// Close ends the subscription.
func (w *Watcher) Close() error { return w.nl.Close() }

// Next returns when something was changed under our name, by whomever, or may have
// been, where events were lost. When ctx ends it returns the error of ctx.
func (w *Watcher) Next(ctx context.Context) error {
	for {
		found := false
		err := w.nl.Receive(ctx, func(m netlink.Message) error {
			found = found || isOfOurs(m)
			return nil
		})
		switch {
		case errors.Is(err, netlink.OverflowError{}):
			return w.empty(ctx)
		case err != nil:
			return err
		case found:
			return nil
		}
	}
}

// empty reads what is queued: after an overflow the kernel drops events in silence
// until the socket is empty.
func (w *Watcher) empty(ctx context.Context) error {
	for {
		more, err := w.nl.Poll(func(netlink.Message) error { return nil })
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, netlink.OverflowError{}):
		case err != nil || !more:
			return err
		}
	}
}

// isOfOurs reports whether an event is about a table of our name, or something in it:
// whatever the object, its first attribute is the name of the table.
func isOfOurs(m netlink.Message) bool {
	const header = 4 // nfgenmsg
	if m.Type&0xff00 != subsystem || m.Type == subsystem|unix.NFT_MSG_NEWGEN || len(m.Data) < header {
		return false
	}
	for d := netlink.NewDecoder(m.Data[header:]); d.Next(); {
		if d.Type() == unix.NFTA_TABLE_NAME {
			return d.String() == tableName
		}
	}
	return false
}
