// Package iproute2 speaks the words of ip-rule(8) and ip-route(8): it prints
// rules and routes as the listings of iproute2 7.1 show them, writes the
// commands that make them, and reads the words of such commands.
//
// Two kinds of text must not be confused. A listing line ([Rule], [Route]) is
// for reading and for comparison with ip's own output: it leaves out what ip
// leaves out, and some of it cannot be typed back. A command ([RuleCommand],
// [RouteCommand]) holds the whole object and can be pasted into a shell;
// reading it back gives the same object.
//
// A command that was typed is read in two steps, because ip sends much that
// no rule can hold. [RuleContext.ParseAdd] gives a [RuleRequest], which knows
// the bytes that ip would send; [RuleRequest.Strict] makes a rule of it or says
// why not. Errors carry what ip writes to its standard error, and its exit
// code. The words of all commands about rules stand in one table, and so do
// the fields of their listing, each with its key in JSON: [RuleView.Fields]
// gives them to a writer, [RuleBuilder] takes them back.
//
// Routes have one table as well, which nests: a route has nexthops, a nexthop a
// tunnel, and each its own fields. An entry of a listing ([RouteEntry]) becomes
// a line of parts, each with its key and its text; people see the texts
// ([RouteView.Entry]), programs the keys ([RouteView.EntryFields]). The table
// puts values back as well: [RouteBuilder] takes what ip tells programs, and
// [RouteContext.ParseListing] what it shows people.
//
// Interface names may hold any byte, and table names almost any. What this
// package prints for people never carries a control byte or a byte outside of
// ASCII: listings escape them, commands quote them for the shell. Only a view
// with Raw set copies the name as ip does.
//
// The package is pure: names come in as [rpdb.Names], interface indices by
// functions of the caller. Its functions are safe for concurrent use.
package iproute2
