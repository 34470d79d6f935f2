package ipbatch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// Options say what [Write] has to know besides.
type Options struct {
	// Leases are of interfaces that get addresses for a time: what hangs on them is
	// lost.
	Leases []format.Lease
}

// Write returns a batch for each family that has rules or routes in a snapshot,
// and a file with the names of tables for rt_tables.d, if they have any. The
// commands have numbers, so that they do not depend on that file. Interfaces and
// addresses are taken to be there already; a rule must not be, since ip cannot
// replace one. The words are those of iproute2 7.1: an older ip stops at one that it
// does not know.
//
// What ip has no words for is left out, and a [format.Loss].
func Write(s *rpdb.Snapshot, n rpdb.Names, o Options) ([]format.File, []format.Loss) {
	var files []format.File
	var losses []format.Loss
	for _, l := range iproute2.LeaseLosses(s, rpdb.Names{}, o.Leases, "a batch", nil) {
		losses = append(losses, format.Loss{Object: l.Object[len("ip "):], Reason: l.Reason})
	}
	for _, family := range []rpdb.Family{rpdb.IPv4, rpdb.IPv6} {
		lines, lost := batch(s, family)
		losses = append(losses, lost...)
		if len(lines) > 0 {
			name := fmt.Sprintf("/etc/rpdb/export/ip%s.batch", family.Flag())
			head := fmt.Sprintf("# Routes, then rules, of %v: ip %s -batch %s\n", family, family.Flag(), name)
			files = append(files, format.File{Path: name, Text: head + strings.Join(lines, "\n") + "\n"})
		}
	}
	if f, ok := rttables.Companion(s, n); ok {
		files = append(files, f)
	}
	return files, losses
}

// batch returns the lines of the batch of a family.
func batch(s *rpdb.Snapshot, family rpdb.Family) (lines []string, losses []format.Loss) {
	rules, routes, losses := iproute2.Exact(s, family, unsaid)
	made := map[rpdb.RouteKey]bool{}
	add := func(command string, _ error) { // which Exact has seen to
		lines = append(lines, strings.TrimPrefix(command, family.Flag()+" "))
	}
	view := iproute2.RouteView{LinkName: s.LinkName, Names: numbers()}
	for _, r := range routes {
		command, err := iproute2.ExactRoute(rpdb.Replace, r, view)
		if made[r.Key()] { // which replace would take the place of
			command = strings.Replace(command, "route replace", "route append", 1)
		}
		made[r.Key()] = true
		add(command, err)
	}
	for _, r := range rules {
		add(iproute2.ExactRule(rpdb.Add, r, view.Names))
	}
	return lines, losses
}

// numbers are names that are the numbers themselves, for those that ip has built
// in. In one run, ip takes a name for the number that was last typed: behind
// "protocol static" and "protocol 82", another "static" is 82 (iproute2 6.1).
func numbers() rpdb.Names {
	n := rpdb.Names{Tables: map[rpdb.TableID]string{}, Protocols: map[rpdb.Protocol]string{}, Scopes: map[rpdb.Scope]string{}}
	for i := range 256 {
		n.Tables[rpdb.TableID(i)] = strconv.Itoa(i)
		n.Protocols[rpdb.Protocol(i)] = strconv.Itoa(i)
		n.Scopes[rpdb.Scope(i)] = strconv.Itoa(i)
	}
	return n
}

// unsaid says why a batch cannot carry the words of a shell, if it cannot: it has
// no escapes, and a # ends the line, inside of quotes too.
func unsaid(command string) error {
	want, err := iproute2.Split(command)
	if err != nil {
		return err
	}
	batch := iproute2.NewBatch(strings.NewReader(command + "\n"))
	if !batch.Next() || strings.Join(batch.Words(), "\x00") != strings.Join(want, "\x00") || batch.Next() || batch.Err() != nil {
		return errors.New("a batch cannot spell the name of an interface in it")
	}
	return nil
}
