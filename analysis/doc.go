// Package analysis finds what is odd in the routing policy of one host: rules
// that are never asked, tables that nobody filled, addresses whose answers
// leave by the wrong door. It is the check half of the house, made after
// golang.org/x/tools/go/analysis: an [Analyzer] is a value, a [Pass] is
// everything it may see, a [Diagnostic] is one finding.
//
// The checks themselves live in passes, one folder each; their doc.go is
// their only documentation. A check that fails returns an error; a finding is
// never an error. The package is pure: the same snapshot gives the same
// findings in the same order, on any machine.
//
// An Error means that packets are lost or leave by a door where they may be
// dropped, and programs refuse to create such a state. A Warning is very
// probably a mistake and harms nobody yet. A Note explains.
package analysis
