// Package nft is the door to nf_tables for the translations that belong to
// rules ([rpdb.Translation]): what the nat rules of ip-rule(8) once did.
//
// It owns one table called rpdb in each of the families ip and ip6, marked as
// ours by its comment, and touches no other. [Conn.Replace] puts a list of
// translations there in one transaction: packets see all of the old list or all
// of the new. [Conn.Read] is the way back: it makes the list from the
// expressions that stand in the kernel, and reports what is not what the list
// would have made, so that a rule changed by hand is never taken for ours.
//
// The chains stand before those of others for stateful translations, since the
// first chain that decides about a flow decides for good, and on both sides of
// connection tracking for stateless ones, so that tracking, where the host does
// it, sees the inside address in both directions. docs/nat.md has the whole
// story, and what it cannot do.
//
// Everything here, reading too, needs CAP_NET_ADMIN in the user namespace that
// owns the network namespace: nf_tables tells nobody else. A Conn is safe for
// concurrent use.
package nft
