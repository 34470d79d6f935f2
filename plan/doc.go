// Package plan compares the state of a host with what a policy wants and
// returns the difference as ordered steps, each with its reason and its
// inverse.
//
// The package decides and does nothing else: a [Plan] is a value, and package
// apply carries it out. What is compared is the meaning of rules and routes
// (their canonical forms), not their spelling. Steps are ordered so that what
// is new stands before what is old goes: routes, then rules, then the removal
// of old rules, then of old routes.
//
// Only what is ours is ever changed: rules that carry [rpdb.ProtocolRPDB] and
// a priority of the reserved range, and routes that carry it in a table of the
// policy, of the reserved range, or that one of our rules looks up. Everything
// else is foreign and stays as it is.
package plan
