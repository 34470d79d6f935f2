// Package emptytable reports rules that look up a table without routes.
//
// A rule whose table is empty in the rule's family does nothing: the walk goes
// on with the next rule, without an error anywhere. The usual causes are a
// mistyped number (ip accepts any), a table filled for one family only, and an
// interface that went down and came back: its IPv4 routes are gone then, and
// no event said so. A kill switch made of an empty table lets everything pass;
// it needs a rule with prohibit behind it.
//
// The tables local, main and default are the kernel's own and may be empty.
package emptytable
