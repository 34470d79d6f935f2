// Package ipjson writes and reads JSON as ip(8) does with -json: one array of
// objects on standard output, on one line or, with -pretty, in ip's own
// layout.
//
// The package knows the notation only. What the fields are, and in which order
// they come, is said by whoever drives the [Writer] or takes the calls of
// [Read]: for rules that is package iproute2, whose listings and builder speak
// the same four methods. Routes nest; [ReadTrees] and four other methods are for
// them.
//
// Hexadecimal numbers are strings in ip's JSON, flags that are merely there
// are null, and strings are bytes: what is not escaped is copied, even if it
// is not UTF-8.
package ipjson
