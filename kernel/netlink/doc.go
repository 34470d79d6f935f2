// Package netlink speaks the netlink protocol of netlink(7), as a rule that of
// the NETLINK_ROUTE family: it frames requests, encodes and decodes attributes,
// and moves messages to the kernel and back. It knows nothing of what the
// messages mean.
//
// [Encoder] writes one message; attribute lengths are computed, so none can
// run past the end of the message, which the kernel would half believe.
// [Decoder] and [Messages] read what came from outside: truncated, empty and
// overlong input ends in an error that sticks, never in a panic, and never
// makes them allocate. Both build on every operating system. [Conn] is the
// socket, on Linux only.
//
// The package keeps no state of its own and needs no privilege; what a request
// needs is the kernel's decision.
package netlink
