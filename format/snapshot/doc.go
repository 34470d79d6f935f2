// Package snapshot writes and reads files that hold an [rpdb.Snapshot]: the
// rules, tables, links, addresses, neighbours, nexthop objects and settings of
// a host, as JSON with a version of the format, compressed by gzip. Such a file
// is asked the same questions as the host that it came from, on any machine.
//
// The JSON is that of "rpdb show --json", and the reader takes that too,
// compressed or not. Keys that it does not know, and versions after its own,
// are errors: an answer from half a snapshot would be a guess.
//
// [Redact] makes a snapshot fit for strangers: every address is replaced, all
// in the same way, so that prefixes contain afterwards what they contained
// before, and the engine decides for the replaced flows as it did for the real
// ones.
package snapshot
