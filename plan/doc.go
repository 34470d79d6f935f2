// Package plan compares the state of a host with what a policy wants and
// returns the difference, and the messages that lead from the one to the other:
// ordered steps, each with its reason and its inverse.
//
// The package decides and does nothing else: a [Plan] is a value, and package
// apply carries it out. What is compared is the meaning of rules and routes
// (their canonical forms), not their spelling.
//
// The kernel changes one rule or route at a time, so a policy is written where no
// packet comes, as a generation of its own, and one message makes it live. Rules
// stand in one of two blocks of priorities:
//
//	10000  goto 10010      the gate, here or at 10001, whichever comes first
//	10010  ...             the first block
//	19999  goto 29999      its end
//	20010  ...             the second block
//	29999  nop             where both go on, to the rules of others
//
// A new generation goes into the block that the gate does not lead to. Then a
// gate that leads there is added in front of the old one, or, where the old one
// stands in front, it is added behind and the old one deleted. Tables of ours have
// a twin ([TwinOfTable]), which is filled first where more than one route
// changes. The old generation goes in the last phase, and a plan can be carried out
// without it ([Plan.WithoutClean]): then the old block, its tables and its gate stay
// behind the one that counts, and going back is a plan like any other. A plan finds
// what of its policy stands in the other block and in twins already, and writes
// only what is missing there; where nothing is, all that is left is to turn the
// gate, one message for each family ([Plan.Back]). A single change is one message and is made where it stands. What
// cannot be switched that way, tables with numbers of the user's own and pinned
// rules, changes where it stands, new before old, and Plan.Transient says so.
//
// Everything is read from the state of the host: which generation counts, what an
// interrupted run left, what others took away. From whatever state a plan leads
// to the same one.
//
// Only what is ours is ever changed: rules that carry [rpdb.ProtocolRPDB] and
// a priority of the reserved range, or one outside it at which the policy pins
// a rule, or which are a rule of the policy elsewhere; and routes that carry
// it in a table of the policy, of the reserved range, or that one of our rules
// looks up. Everything else is foreign and stays as it is.
package plan
