// Package rttables reads the name files of iproute2 (rt_tables, rt_protos,
// rt_realms, rt_dsfield, rt_scopes, group) into [rpdb.Names].
//
// The package is pure: a file comes in as its bytes and a name for messages.
// Which files there are, and in which order they count, is the caller's
// knowledge; iproute2 reads the main file of /etc/iproute2, or where that does
// not exist of /usr/share/iproute2, and then the *.conf files of the
// directories rt_tables.d and rt_protos.d beside them. Entries read later come
// before entries read earlier, for the same number.
package rttables
