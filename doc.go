// Package rpdb holds the nouns of the routing policy database of Linux (RPDB):
// rules, routes, links, addresses, the flow of one packet, and the decision
// that the kernel makes about it. Everything else in this module is a verb on
// these values.
//
// The package is pure: it makes no system call, reads no clock, file or
// environment, and starts no goroutine. It builds on every operating system,
// so a laptop can explain a router's snapshot.
//
// Values are plain. [Rule], [Selector], [Action] and [Flow] are comparable
// with == and may be used as map keys; the zero Selector matches every flow.
// The values are not safe for concurrent modification, and safe for concurrent
// reading, as any Go value is.
//
// The vocabulary is that of ip-rule(8), ip-route(8) and the kernel's
// uapi headers fib_rules.h and rtnetlink.h.
package rpdb
