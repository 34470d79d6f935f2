// Package duplicate reports rules that repeat an earlier rule.
//
// Two rules of one family with the same selector, action and suppressor give
// the same answer, so the second one is never of use, wherever it stands. They
// come from scripts that run twice without a priority: the kernel compares the
// automatic priorities too and takes each copy. Deleting by selector then takes
// the first copy only. If two programs installed one copy each (the protocols
// differ), this is a note: each looks after its own.
//
// A nop may be repeated, as it is a place to jump to. A rule that is never
// asked is the business of the check shadowed, and a copy that a goto reaches
// past the first one is none.
package duplicate
