// Package formattest is for tests of notations of other systems: what a snapshot
// means, as text that can be compared, and hosts of the real kernel on which the
// programs run that such notations are for.
package formattest
