// Package plan compares the state of a host with what a policy wants and
// returns the difference as ordered steps, each with its reason and its
// inverse.
//
// The package decides and does nothing else: a [Plan] is a value, and package
// apply carries it out. What is compared is the meaning of rules and routes
// (their canonical forms), not their spelling. Steps are ordered so that what
// is new stands before what is old goes: routes, then rules, then the removal
// of old rules, then of old routes. Within each of the four, no packet is
// decided otherwise than before or after. What can show a packet something
// between is a goto, whose target has to be there first, and a table that
// changes under rules which lead to it.
//
// Only what is ours is ever changed: rules that carry [rpdb.ProtocolRPDB] and
// a priority of the reserved range, or one outside it at which the policy pins
// a rule, or which are a rule of the policy elsewhere; and routes that carry
// it in a table of the policy, of the reserved range, or that one of our rules
// looks up. Everything else is foreign and stays as it is.
package plan
