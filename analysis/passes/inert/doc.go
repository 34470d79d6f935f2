// Package inert reports words in rules and routes that have no effect.
//
// The kernel accepts much that nobody can mean:
//
//   - "not" without any selector never matches;
//   - a mark or DSCP with an empty mask matches every packet;
//   - a rule for packets that come in by an interface never matches together
//     with oif, as forwarded packets are bound to no interface (a VRF is one),
//     nor together with a range of users without root, to whom the kernel
//     counts forwarded packets;
//   - suppressors count only for rules that look a table up, and one that is
//     as long as an address suppresses every route;
//   - realms are dropped in IPv6;
//   - an IPv4 route with a TOS outside 0x1c is never chosen.
package inert
