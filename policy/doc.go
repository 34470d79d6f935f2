// Package policy reads the declarative policy document, a YAML file that names
// uplinks, tables and rules, and resolves it on one host.
//
// [Parse] checks everything that can be checked without a host, and reports
// every error that it finds at once, each with file, line and column.
// [Document.Resolve] then takes a snapshot of the host and returns the rules
// and routes that should be there. It tells three outcomes apart: what is
// resolved, what waits for the host (an interface that does not exist yet, an
// address still tentative), and errors, after which nothing must be done.
// [ForHost] goes the other way: it writes a policy for the host of a snapshot.
//
// The package is pure: it opens no file and asks no kernel. The keys of the
// document stand in one table (keys.go), which the parser, [Schema] and the
// reference in docs/policy.md are all made from.
package policy
