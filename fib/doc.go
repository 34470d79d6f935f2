// Package fib is the engine of the routing policy database: it compiles an
// [rpdb.Snapshot] and then says for any [rpdb.Flow] what the kernel does with
// it, and why.
//
// There is one evaluator. [FIB.Lookup] runs it bare and allocates nothing;
// [FIB.Trace] runs the same code with a recorder, so the explanation cannot
// disagree with the verdict.
//
// Neither asks one rule after the other. Rules that look at the same bits of a flow
// stand in one hash table, so a decision costs as much as there are kinds of rules,
// whatever their number, and the story tells of the others only when it is read.
// [FIB.WithRule] and [FIB.WithoutRule] make another version of a FIB that shares most
// of it: nobody who reads one waits for it.
//
// The rules followed are those of Linux 6.18 (ip-rule(8), ip-route(8),
// fib_rules_lookup, fib_table_lookup, ip_route_output_key_hash,
// ip_route_input_slow, fib6_table_lookup). What a snapshot does not tell is
// not guessed: the decision is then unknown, or lists in Either all that the
// kernel may choose from.
package fib
