// Package shadowed reports rules that are never asked.
//
// The walk ends where a rule decides. A rule without selector that denies
// always decides, and so does one that looks up a table with a usable default
// route and has no suppressor: what stands behind it is dead. Rules behind
// main (priority 32766) are dead in this way as long as main has a default
// route, until a packet comes that is bound to another interface than the
// default leads to; so a rule there that selects on oif is not reported, and
// one that is meant as a last resort may be left alone. A goto without
// selector keeps packets from the rules that it jumps over.
//
// The rules that the kernel makes itself are not reported. What rules with
// selectors take from later ones is not looked at.
package shadowed
