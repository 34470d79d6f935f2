// Package residents reports where rules of a policy get in the way of other programs.
//
// Many programs write rules, and each has chosen priorities, tables and mark bits of
// its own. Where one of them is seen on the host, by its rules or by its interface,
// a rule of ours that stands among its priorities, looks up a table of its, or looks
// at mark bits that it sets may be deleted by it, or decide about its packets.
package residents
