// Package format holds what the packages below it share, each of which reads or
// writes the notation of another system.
//
// What such a notation says of a host is an [rpdb.Snapshot], beside [rpdb.Names]
// for the tables that have names: the interfaces that it names, the addresses
// that it gives them, routes and rules, in the nouns of the kernel. So two
// notations mean the same if their snapshots do, and what a kernel has can be
// compared with both. A reader is strict: what it does not understand is an
// [Error], and nothing is half read. A writer says with a [Loss] what its
// notation has no words for; it never writes something that matches more than it
// should.
//
// The package is pure, and its values belong to whoever has them.
package format
