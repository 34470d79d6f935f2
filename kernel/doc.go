// Package kernel is the door to the routing policy database of the running
// Linux kernel: it reads a whole network namespace into a [rpdb.Snapshot],
// makes one [rpdb.Change] at a time and reads it back, restores saved rules and
// routes, asks the kernel for its own routing decision, watches events, and keeps
// a snapshot current by them ([Follower]). A [Socket] is the plain way, which
// trusts what it is told as ip(8) does. It lists the sockets of programs, which
// packets come from ([InetSocket]), and builds the small worlds of interfaces and
// namespaces that a sandbox and tests need.
//
// It trusts neither acknowledgements nor dumps. The kernel acknowledges rules
// whose newer selectors it has dropped, so every change is compared, by
// meaning, with what the kernel says that it stored. Dumps lose and repeat
// entries while others make changes, so a [Conn.Snapshot] subscribes to events
// first and counts only what no event has touched.
//
// Reading needs no privilege; changes need CAP_NET_ADMIN in the user namespace
// that owns the network namespace, and entering another namespace needs
// CAP_SYS_ADMIN. Everything but this comment is for Linux only.
package kernel
