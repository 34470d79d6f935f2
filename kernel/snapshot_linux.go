package kernel

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"rpdb"
)

// Snapshot reads the namespace: rules, routes of all tables, interfaces,
// addresses, nexthop objects, neighbours and settings. It needs no privilege.
//
// Everything but neighbours and settings is the state of one moment: events
// are subscribed to before anything is read, and what an event touches is read
// again, a bounded number of times. [UnstableError] says that others never
// held still for that long. Rules and routes stand in the kernel's order. The
// caller owns the result.
func (c *Conn) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	return c.snapshotOf(ctx, nil)
}

// SnapshotFor reads what decides about one flow: all that [Conn.Snapshot] reads,
// but of the routes only those that concern it ([rpdb.Concern]). Its memory does
// not grow with the tables.
func (c *Conn) SnapshotFor(ctx context.Context, f rpdb.Flow) (*rpdb.Snapshot, error) {
	return c.snapshotOf(ctx, func() func(rpdb.Route) bool { return f.Concern().Has })
}

// snapshotOf reads a snapshot with the routes that a choice takes, which is made
// for each reading; nil for all.
func (c *Conn) snapshotOf(ctx context.Context, choice func() func(rpdb.Route) bool) (*rpdb.Snapshot, error) {
	s := &rpdb.Snapshot{}
	if err := c.snapshot(ctx, s, choice); err != nil {
		return nil, opError("read", "network namespace", err)
	}
	return s, nil
}

func (c *Conn) snapshot(ctx context.Context, s *rpdb.Snapshot, choice func() func(rpdb.Route) bool) error {
	r := reading{choice: choice}
	if err := c.settled(ctx, allClasses, func(cl class) (int, error) { return c.read(ctx, cl, s, &r) }); err != nil {
		return err
	}
	s.Rules = slices.Concat(r.rules4, r.rules6)
	s.Routes = slices.Concat(r.routes4, r.routes6)
	s.Custom4, s.Custom6 = customised(rpdb.IPv4, r.rules4), customised(rpdb.IPv6, r.rules6)
	var err error
	if s.Neighbours, err = c.dumpNeighbours(ctx); err != nil {
		return err
	}
	settings := s.Sysctls.Links
	if s.Sysctls, err = c.sysctls(); err != nil {
		return err
	}
	s.Sysctls.Links = settings
	s.Kernel, err = release()
	return err
}

// reading holds the parts of a snapshot that are joined in the end.
type reading struct {
	choice           func() func(rpdb.Route) bool // of routes, nil for all
	rules4, rules6   []rpdb.Rule
	routes4, routes6 []rpdb.Route
}

// filter is the filter of one reading of routes.
func (r *reading) filter(f rpdb.Family) routeFilter {
	// No packet takes a route whose life time is over (rt6_check_expired),
	// though IPv6 lists it until it collects it, half a minute later.
	filter := routeFilter{family: f, living: true}
	if r.choice != nil {
		filter.choose = r.choice()
	}
	return filter
}

// read reads one class anew.
func (c *Conn) read(ctx context.Context, cl class, s *rpdb.Snapshot, r *reading) (n int, err error) {
	switch cl {
	case classLinks:
		s.Links, s.Sysctls.Links, n, err = c.dumpLinks(ctx)
	case classAddresses:
		s.Addresses, n, err = c.dumpAddresses(ctx)
	case classNexthops:
		s.Nexthops, n, err = c.dumpNexthops(ctx)
	case classRules4:
		r.rules4, n, err = c.dumpRules(ctx, rpdb.IPv4)
	case classRules6:
		r.rules6, n, err = c.dumpRules(ctx, rpdb.IPv6)
	case classRoutes4:
		r.routes4, n, err = c.dumpRoutes(ctx, r.filter(rpdb.IPv4))
	case classRoutes6:
		r.routes6, n, err = c.dumpRoutes(ctx, r.filter(rpdb.IPv6))
	}
	return n, err
}

// customised says what a rule list tells of its past. A list other than the
// default one has been changed; IPv6 counts only additions.
func customised(f rpdb.Family, rules []rpdb.Rule) rpdb.Customised {
	defaults := rpdb.DefaultRules(f)
	if f == rpdb.IPv4 && !slices.Equal(rules, defaults) {
		return rpdb.CustomisedYes
	}
	for _, r := range rules {
		if !slices.Contains(defaults, r) {
			return rpdb.CustomisedYes
		}
	}
	return rpdb.CustomisedUnknown
}

// release returns the release of the kernel, as uname -r prints it.
func release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// sysctls reads the settings of the namespace as a whole. A setting that the
// kernel does not have is zero.
func (c *Conn) sysctls() (rpdb.Sysctls, error) {
	var s rpdb.Sysctls
	err := c.ns.Do(func() error {
		var buf [32]byte
		number := func(path string) uint32 { return readNumber("/proc/sys/net/"+path, buf[:]) }
		on := func(path string) bool { return number(path) != 0 }
		s = rpdb.Sysctls{
			IPv4Forward:   on("ipv4/ip_forward"),
			IPv6Forward:   on("ipv6/conf/all/forwarding"),
			HashPolicy4:   uint8(number("ipv4/fib_multipath_hash_policy")),
			HashPolicy6:   uint8(number("ipv6/fib_multipath_hash_policy")),
			HashSeed:      number("ipv4/fib_multipath_hash_seed"),
			UseNeigh:      on("ipv4/fib_multipath_use_neigh"),
			ReflectMark4:  on("ipv4/fwmark_reflect"),
			ReflectMark6:  on("ipv6/fwmark_reflect"),
			TCPMarkAccept: on("ipv4/tcp_fwmark_accept"),
			All: rpdb.LinkSysctls{
				Forwarding4:     on("ipv4/conf/all/forwarding"),
				Forwarding6:     on("ipv6/conf/all/forwarding"),
				RPFilter:        uint8(number("ipv4/conf/all/rp_filter")),
				SrcValidMark:    on("ipv4/conf/all/src_valid_mark"),
				AcceptLocal:     on("ipv4/conf/all/accept_local"),
				RouteLocalnet:   on("ipv4/conf/all/route_localnet"),
				IgnoreLinkdown4: on("ipv4/conf/all/ignore_routes_with_linkdown"),
				IgnoreLinkdown6: on("ipv6/conf/all/ignore_routes_with_linkdown"),
				DisableIPv6:     on("ipv6/conf/all/disable_ipv6"),
				NoSendRedirects: !on("ipv4/conf/all/send_redirects"),
			},
		}
		return nil
	})
	return s, err
}

// readNumber reads a file that holds one number, 0 if there is none.
func readNumber(path string, buf []byte) uint32 {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil || n <= 0 {
		return 0
	}
	v, err := strconv.ParseUint(string(bytes.TrimSpace(buf[:n])), 0, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}
