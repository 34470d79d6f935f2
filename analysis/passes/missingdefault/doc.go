// Package missingdefault reports rule lists without the rules that every host
// needs.
//
// Without a rule that looks up local (priority 0) the host answers nobody;
// with other rules in front of it, they may send packets for the host's own
// addresses away. Rules that take the table of a VRF belong in front of it.
// Without a rule that looks up main (priority 32766), the routes that everybody
// configures are not used. Without any rule, every lookup fails.
//
// A namespace in which no IPv6 rule was ever added uses local and main whatever
// its list says; a family without addresses and routes needs no rules.
package missingdefault
