// Bench measures this project against its peers: the system's ip(8), the library
// vishvananda/netlink, and the kernel's own lookup.
//
// Everything happens in network namespaces that it makes. In each round every
// contestant has one turn, in changing order, so that a machine that is busy slows
// all alike; and each turn is judged by what it did: the rules and routes that the
// system's ip lists afterwards must be the same for all, and so must the decisions.
// It is a module of its own, so that the peers are in nobody's way.
package main
