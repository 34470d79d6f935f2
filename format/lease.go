package format

import "rpdb"

// Lease is what hangs on what an interface gets in a family for a time, without
// anybody having written it down: in IPv4 by DHCP, in IPv6 by router advertisements
// and by the DHCP that they point to. The addresses and gateways in it are those of
// now. It may be that nothing hangs on it but the addresses themselves.
type Lease struct {
	Link   rpdb.LinkIndex
	Family rpdb.Family
	// Default says that table main has a default route from it, and Metric is that of
	// the route.
	Default bool
	Metric  uint32
	// Rules are to select by an address of the lease, or by its network.
	Rules []rpdb.Rule
	// Routes are to lead to the gateway of the lease where they have one, and to its
	// network otherwise. These have an address of the lease as their source; those
	// leave it to the kernel, which takes the one in the network of the gateway.
	Routes []rpdb.Route
}
