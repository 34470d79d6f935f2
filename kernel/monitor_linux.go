package kernel

import (
	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Monitor is [Conn.Watch] for rules or routes alone, of the given families,
// without a connection for requests: what ip-monitor(8) needs. The type is
// [EventRule] or [EventRoute]; others are not told. It needs no privilege.
func Monitor(o Options, what []EventType, families []rpdb.Family) (*Watcher, error) {
	dial := netlink.Options{ReceiveBuffer: watchBuffer}
	if o.NetNS != nil {
		dial.NetNS = o.NetNS.FD()
	}
	for _, t := range what {
		for _, f := range families {
			if g := eventGroup(t, f); g != 0 {
				dial.Groups = append(dial.Groups, g)
			}
		}
	}
	nl, err := netlink.Dial(dial)
	if err != nil {
		return nil, opError("watch", "network namespace", err)
	}
	return watcherOf(nl, 0), nil
}

// eventGroup returns the multicast group of rules or routes, 0 for others.
func eventGroup(t EventType, f rpdb.Family) uint32 {
	switch {
	case t == EventRule && f == rpdb.IPv4:
		return unix.RTNLGRP_IPV4_RULE
	case t == EventRule && f == rpdb.IPv6:
		return unix.RTNLGRP_IPV6_RULE
	case t == EventRoute && f == rpdb.IPv4:
		return unix.RTNLGRP_IPV4_ROUTE
	case t == EventRoute && f == rpdb.IPv6:
		return unix.RTNLGRP_IPV6_ROUTE
	}
	return 0
}
