// Package stalesource reports routes and rules for addresses that the host has
// no more.
//
// An address that DHCP replaced, or that moved to another machine, leaves
// behind rules that match nothing and routes whose preferred source (src) is
// dead: "route get" still looks right, and connect fails with "network is
// unreachable".
//
// A rule counts as stale if it selects one full address which lies in a
// network that the host is connected to, and which no interface has. A host
// that forwards may well mean its neighbour, and is not looked at; nor are
// rules for packets that come in by an interface. Where exactly one address of
// that network is left, the fix is to put it in the place of the old one.
package stalesource
