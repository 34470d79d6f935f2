// Package bundle puts a snapshot together from the output of ip(8) commands, as
// people send it and support bundles hold it.
//
// [Read] takes everything that package iptext finds in a text. What the text
// does not tell is in the snapshot ([rpdb.Snapshot.Missing] and its neighbours),
// so that the engine does not guess, and in words in [Result.Assumed], together
// with what stands in its place. Listings of one thing must agree with each
// other, and what cannot be read is an error with its place: half of a bundle
// never passes for a host.
//
// The package reads no file and asks no kernel.
package bundle
