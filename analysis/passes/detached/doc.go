// Package detached reports rules that select an interface which does not exist.
//
// A selector iif or oif with a name that no interface has is false: the rule
// matches nothing, or everything if it begins with "not". The rule attaches
// again when an interface gets the name, so one for a VPN that is off is in
// order; one left behind by a renamed interface is not.
package detached
