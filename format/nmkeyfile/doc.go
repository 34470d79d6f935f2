// Package nmkeyfile reads and writes the keyfiles of NetworkManager
// (nm-settings-keyfile(5)), releases 1.42 and later: profiles, each of which is for
// an interface, with addresses, routes and rules.
//
// NetworkManager drops what it does not understand without a word: of a rule the
// rule, of the options of a route all of them, so that the route ends up in another
// table. A reader refuses it, and a writer writes only what was tried with the
// program. A reader also refuses what the file alone does not settle: a profile that
// does not come up by itself, routes and rules of a family that is off, a table that
// leases or advertisements fill. All that NetworkManager adds is of protocol static.
//
// It takes a profile's rules away when the interface loses its carrier, also those
// that are to hold packets back. So rules, and routes that lead to no interface, go
// to a profile of the loopback interface, which is always up.
package nmkeyfile
