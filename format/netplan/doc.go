// Package netplan reads and writes the YAML of netplan (netplan(5)): what it says
// of interfaces, their addresses, routes and routing policy.
//
// # What is read
//
// [Read] takes the files of /etc/netplan and puts together what several say of
// one definition, in the order of their names, as netplan does. A key that netplan
// does not have is an error, and so is what has another meaning on each start, as
// a rule without a priority, or what depends on an interface that is matched by
// anything but its name. So is what the files alone do not settle: an interface that
// somebody else brings up (activation-mode). Keys that have nothing to do with policy routing are known
// by name and left alone.
//
// # What is written
//
// [Write] writes one file, with the renderer networkd. netplan can say of a rule
// from, to, a mark and a type of service, and of an action a table; everything else
// is a loss. It has no words for interfaces that must be made: only those that are
// there like an Ethernet are written.
//
// netplan 0.106 and 1.1 keep numbers in 31 bits. They hand those that are larger to
// networkd as -1, which it then leaves out, and do the same with a mark 0: such a
// rule would match every packet. It is refused by both functions.
package netplan
