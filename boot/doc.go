// Package boot makes what was applied last: the files of other programs' folders
// that bring it back when the machine boots, when a link comes up and when an
// address changes, and their removal.
//
// [Survey] looks which of those programs a host has, [Files] says which files
// that takes, and a [Tree] compares them with what is there, installs them and
// takes them away again. What was installed is on record in a file of its own,
// with checksums, so that nothing else is ever replaced or removed: not a file of
// another package, and none that somebody has edited since. The package knows
// nothing of rules and routes: all its files do is call rpdb.
package boot
