// Package ipbatch reads and writes files of commands for "ip -batch": one of a
// family's rules and routes each, routes first, so that no packet meets a rule to
// an empty table.
//
// A batch cannot say which family it is for: that is an option in front of it, as
// in "ip -6 -batch FILE". Here the file's name says it, by a 4 or 6 at its end, as
// in "rules6", "ip-4.batch" or "/etc/routes-6.txt"; without one the commands mean
// what they do for ip without an option.
package ipbatch
