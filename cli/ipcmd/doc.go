// Package ipcmd is the personality under the name "ip": the words, bytes and
// exit codes of iproute2 7.1 for the objects rule and route, and for monitor where
// it is about rules and routes. What it does not speak itself it hands to the
// system's own ip, with the same arguments and descriptors.
//
// A command line is read in three steps, each in a file of its own: options
// before the object (options.go), the object (object.go), and the object's own
// words (rule.go, route.go, monitor.go). Whatever goes wrong is a [failure], which knows
// ip's text and exit code and whether ip would end the process over it: that
// decides what becomes of a batch (batch.go).
//
// Where ip is broken in a way that nobody can depend on, this package does
// what was meant. Those places are: flush, restore, -echo, monitor and showdump
// with -json, lists of rules by protocol, action, realms and suppressor, and
// errors of standard output. docs/compatibility.md has all of them.
//
// It is linked into the lean program cmd/ip and imports nothing heavy.
package ipcmd
