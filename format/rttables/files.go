package rttables

import (
	"errors"
	"path"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
)

// Beside returns the names of tables that stand among the files of another
// notation, and the rest of the files: those called rt_tables, and those in a
// directory rt_tables.d whose names count. A line that is no name is an error of
// type *[format.Error], joined to the others; nothing is dropped behind it.
func Beside(files []format.File) (rpdb.Names, []format.File, error) {
	var names rpdb.Names
	var rest []format.File
	var errs []error
	for _, f := range files {
		if base := path.Base(f.Path); base != Tables.File() && (path.Base(path.Dir(f.Path)) != Tables.Directory() || !Counts(base)) {
			rest = append(rest, f)
			continue
		}
		err := Parse(&names, Tables, f.Path, []byte(f.Text))
		if bad := (*LineError)(nil); errors.As(err, &bad) {
			errs = append(errs, &format.Error{File: f.Path, Line: bad.Line, Object: "table name", Text: strings.TrimSpace(bad.Text), Reason: "not a number and a name"})
		}
	}
	return names, rest, errors.Join(errs...)
}

// Companion returns a file for rt_tables.d that names the tables which a snapshot
// uses and which have a name that iproute2 has not built in, and whether there are
// any. Names that iproute2 could not read are left out.
func Companion(s *rpdb.Snapshot, n rpdb.Names) (format.File, bool) {
	used := map[rpdb.TableID]bool{}
	for _, r := range s.Rules {
		used[r.Action.Table()] = true
	}
	for _, r := range s.Routes {
		used[r.Table] = true
	}
	lines := []string{}
	for t := range used {
		name := n.Tables[t]
		if text, err := (DropIn{}).Name(t, name); name != "" && err == nil {
			lines = append(lines, string(text))
		}
	}
	slices.SortFunc(lines, compareNumbers)
	f := format.File{Path: "/etc/iproute2/" + Tables.Directory() + "/rpdb-export.conf", Text: strings.Join(lines, "")}
	return f, len(lines) > 0
}

// compareNumbers orders lines that begin with a number.
func compareNumbers(a, b string) int {
	first, _, _ := strings.Cut(a, "\t")
	second, _, _ := strings.Cut(b, "\t")
	if len(first) != len(second) {
		return len(first) - len(second)
	}
	return strings.Compare(first, second)
}
