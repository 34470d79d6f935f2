// Package networkd reads and writes the configuration of systemd-networkd
// (systemd.network(5), networkd.conf(5)): what it says of interfaces, their
// addresses, routes and routing policy rules.
//
// # What is read
//
// [Read] takes .network files, drop-ins of them, and networkd.conf with its
// drop-ins, whose RouteTable= gives tables names. It reads the sections [Match],
// [Network], [Address], [Route] and [RoutingPolicyRule] as systemd 257 does, and
// Group= of [Link]. In these a key that it does not know is an error. So is what
// has another meaning on each start: a rule without a priority, a gateway that a
// lease brings, an interface that is matched by anything but its name where
// routes or addresses depend on it. And so is what the files alone do not settle: a
// condition of [Match] on the machine (Host=, KernelVersion=, ...), an interface that
// somebody else brings up (ActivationPolicy=), a table that leases or advertisements
// fill (RouteTable= of [DHCPv4], [IPv6AcceptRA]). Other sections (DHCP, bridges, queueing, ...)
// and the keys of [Network] that have nothing to do with policy routing are known
// by name and left alone.
//
// networkd adds rules of equal priority in no particular order; here they stand
// in that of the files. It marks every rule as static, and so does Read.
//
// # What is written
//
// [Write] writes a file for each interface with routes or addresses, and one for
// the loopback interface, with all rules and with the routes that belong to no
// interface: networkd removes the rules of a file with its interface. Names of
// tables go into a drop-in of networkd.conf.
//
// [ReadManager] answers another question: whether networkd deletes routes and
// rules that it did not make.
package networkd
