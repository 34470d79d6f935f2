// Package archtest holds the shape of this module as checks that a test runs:
// who may import whom, how long functions and files may be, what must be
// documented, and what the pure core must not do. A broken rule is a failing
// test whose message gives the reason.
//
// The sources are parsed, not built: the checks need no network, no privilege
// and about a second. Each check is a function from a [Tree] to the
// [Finding]s in it, so the checks are tested on small bad trees of their own.
package archtest
