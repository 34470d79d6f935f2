package rttables

import (
	"strconv"
	"strings"

	"rpdb"
)

// Database holds the names of the files that were added to it and finds numbers
// by name as iproute2 does. A number of anything but a table or a group has one
// name, the last, and a name belongs to the smallest number that has it. Of
// tables and groups all names are known, also those that a later one displaced in
// listings, and a name that several numbers have belongs to the one whose low
// eight bits are the smallest, among those to the one that was read last. The
// zero Database has the built-in names. It is not
// safe for concurrent use with Add.
type Database struct {
	names   rpdb.Names
	entries map[string]map[string]uint32 // by file and name: the number that counts
	ipNames map[rpdb.IPProto]string
}

// Add reads one file into the database, as [Parse] does into names. Files have
// to come in the order in which iproute2 reads them. The error is of type
// *[LineError]; the entries before the bad line stay.
func (d *Database) Add(k Kind, source string, data []byte) error {
	return parse(k, source, data, func(e span) {
		set(&d.names, k, e.ID, e.Name)
		if k == Tables || k == Groups {
			d.enter(k.File(), e.ID, e.Name)
		}
	})
}

// enter lets a name stand for a number, unless another number comes first.
func (d *Database) enter(file string, id uint32, name string) {
	if d.entries == nil {
		d.entries = map[string]map[string]uint32{}
	}
	names := d.entries[file]
	if names == nil {
		names = map[string]uint32{}
		d.entries[file] = names
	}
	if old, taken := names[name]; !taken || id%256 <= old%256 {
		names[name] = id
	}
}

// Names returns the names that listings show. The maps belong to the database.
func (d *Database) Names() rpdb.Names { return d.names }

// Number returns what a name stands for, built-in names included. The file is
// that of a kind, as in "rt_tables", or "protocols". Numbers are not names: a
// name that looks like one is only found if a file has it.
func (d *Database) Number(file, name string) (uint32, bool) {
	id, ok := d.builtin(file, name)
	if !ok {
		id = 0
	}
	switch file {
	case Protocols.File():
		return smallest(d.names.Protocols, name, id, ok)
	case Realms.File():
		return smallest(d.names.Realms, name, id, ok)
	case DSFields.File():
		return smallest(d.names.DSFields, name, id, ok)
	case Scopes.File():
		return smallest(d.names.Scopes, name, id, ok)
	}
	if other, found := d.entries[file][name]; found && (!ok || other%256 <= id%256) {
		return other, true
	}
	return id, ok
}

// smallest returns the smallest number that has a name, with one that has it
// anyway if there is one.
func smallest[K ~uint8 | ~uint16](names map[K]string, name string, id uint32, ok bool) (uint32, bool) {
	for k, n := range names {
		if n == name && (!ok || uint32(k) < id) {
			id, ok = uint32(k), true
		}
	}
	return id, ok
}

// builtin returns what a name stands for where no file says so. A number that
// has another name in a file has lost the built-in one, but for tables and
// groups.
func (d *Database) builtin(file, name string) (uint32, bool) {
	if name == "" || '0' <= name[0] && name[0] <= '9' {
		return 0, false
	}
	switch file {
	case Tables.File():
		t, ok := rpdb.Names{}.TableByName(name)
		return uint32(t), ok
	case Protocols.File():
		p, ok := rpdb.Names{}.ProtocolByName(name)
		return uint32(p), ok && d.names.Protocols[p] == ""
	case Realms.File():
		return 0, name == "unknown" && d.names.Realms[0] == ""
	case Groups.File():
		return 0, name == "default"
	case Scopes.File():
		s, ok := rpdb.Names{}.ScopeByName(name)
		return uint32(s), ok && d.names.Scopes[s] == ""
	}
	return 0, false
}

// AddProtocols reads the file of IP protocols (protocols(5)): a name, a number
// and further names on each line. Lines that are not that are skipped. The
// first line of a number or name counts, as for getprotobynumber(3). A number
// may be too large for a packet, such as that of mptcp.
func (d *Database) AddProtocols(data []byte) {
	for line := range strings.Lines(string(data)) {
		text, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(fields[1], "+"), 10, 31)
		if err != nil {
			continue
		}
		d.addProtocol(uint32(n), fields[0], fields[2:])
	}
}

func (d *Database) addProtocol(n uint32, name string, aliases []string) {
	if d.ipNames == nil {
		d.ipNames = map[rpdb.IPProto]string{}
	}
	if p := rpdb.IPProto(n); uint32(p) == n && d.ipNames[p] == "" {
		d.ipNames[p] = name
	}
	for _, name := range append([]string{name}, aliases...) {
		if _, taken := d.entries["protocols"][name]; !taken {
			d.enter("protocols", n, name)
		}
	}
}

// IPProto returns the name of an IP protocol, "" if it has none.
func (d *Database) IPProto(p rpdb.IPProto) string { return d.ipNames[p] }
