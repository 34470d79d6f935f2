// Package ifupdown reads and writes the notation of Debian's ifupdown, the stanzas
// of interfaces(5). What they say of policy routing are commands: "up ip rule add
// ...", which a shell runs.
//
// A reader runs the commands on a host that is empty ([iproute2.Setup]). It knows as
// much of the shell as such lines have: quotes, $IFACE, commands joined by ; and
// &&, "|| true", and output that goes to /dev/null. What a "down" line takes away
// must be something that the same interface has made.
//
// A writer makes two kinds of stanzas. Rules, and routes that lead to no interface,
// go to lo: they are there before every other interface and stay when one goes, as
// a rule that is to hold packets back must. Routes go to their interface, in a
// stanza beside the administrator's, since ifupdown runs all stanzas of an
// interface one after the other. Tried with ifupdown 0.8.41: the order is that of
// the files, and a route can be added only behind the address that it needs. So the
// file is not one for interfaces.d, which Debian reads first; it is to be read last.
package ifupdown
