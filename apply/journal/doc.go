// Package journal keeps on disk what package apply has to know after a crash:
// the generations of a policy that were applied to one network namespace, which
// of them is confirmed, and the one on trial with its deadline.
//
// A [Journal] is a directory that belongs to root or to whoever runs the
// program, and that nobody else can write to. It holds the record (journal),
// its predecessor (journal.previous), one file for each generation
// (generation-N) and the file that writers lock. Each file is replaced as a
// whole: written under another name, synced, renamed, and the directory synced.
// Each carries the version of its schema and a checksum, and what does not fit
// is refused with an [*Error]: a record is believed whole or not at all.
//
// The package decides nothing. [State] says what is recorded, and its methods
// are the few ways in which it may become another.
package journal
