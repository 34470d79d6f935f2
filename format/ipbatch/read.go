package ipbatch

import (
	"errors"
	"path"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
	"rpdb/format/rttables"
)

// Read returns what batches make of a host that has only the rules of a new
// namespace, run one after the other in the order of the files. They add:
// rules, routes, addresses, and they set interfaces up; a delete must find what
// it deletes. A rule without a priority gets the one that the kernel would give
// it. Names of tables are those of the files called rt_tables, or in a directory
// rt_tables.d, that are among the files.
//
// The error joins every line that is not understood, each of type *[format.Error].
func Read(files []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
	names, batches, err := rttables.Beside(files)
	errs := []error{err}
	setup := iproute2.Setup{Names: names}
	for _, f := range batches {
		errs = append(errs, run(&setup, f))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, rpdb.Names{}, err
	}
	return &setup.Snapshot, names, nil
}

// run runs the commands of one file.
func run(setup *iproute2.Setup, f format.File) error {
	var errs []error
	family := familyOf(f.Path)
	batch := iproute2.NewBatch(strings.NewReader(f.Text))
	fail := func(line int, text, reason string) {
		errs = append(errs, &format.Error{File: f.Path, Line: line, Object: "command", Text: text, Reason: reason})
	}
	for batch.Next() {
		words := batch.Words()
		if _, err := setup.Run(family, words); err != nil {
			fail(batch.Line(), strings.Join(words, " "), err.Error())
		}
	}
	if err := batch.Err(); err != nil {
		fail(batch.Line(), "", err.Error())
	}
	return errors.Join(errs...)
}

// familyOf is the family that a file's name ends in, but for its extension.
func familyOf(file string) rpdb.Family {
	name := strings.TrimSuffix(path.Base(file), path.Ext(file))
	rest := strings.TrimRight(name, "0123456789")
	switch name[len(rest):] {
	case "4":
		return rpdb.IPv4
	case "6":
		return rpdb.IPv6
	}
	return 0
}
