package rpdb

import (
	"strconv"
	"strings"
)

// Names spells numbers as the files of iproute2 do (rt_tables, rt_protos,
// rt_realms, rt_dsfield, group). It is a value that is passed in: nothing in
// this package reads a file. The zero Names knows the names that iproute2 has
// built in; entries of the maps come before those. The maps belong to whoever
// made it and are not modified.
type Names struct {
	Tables    map[TableID]string  `json:"tables,omitempty"`
	Protocols map[Protocol]string `json:"protocols,omitempty"`
	Realms    map[uint16]string   `json:"realms,omitempty"`
	DSFields  map[uint8]string    `json:"dsfields,omitempty"` // by the full DS field, DSCP << 2
	Groups    map[uint32]string   `json:"groups,omitempty"`
}

func builtinTables() map[TableID]string {
	return map[TableID]string{TableDefault: "default", TableMain: "main", TableLocal: "local"}
}

func builtinProtocols() map[Protocol]string {
	return map[Protocol]string{
		0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt",
		11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived",
		42:  "babel",
		186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
	}
}

// Table returns the name of a table, or its number in decimal.
func (n Names) Table(t TableID) string {
	return nameOf(uint64(t), n.Tables[t], builtinTables()[t])
}

// TableByName returns the table that a name or a decimal number stands for.
func (n Names) TableByName(s string) (TableID, bool) {
	return byName(s, n.Tables, builtinTables())
}

// Protocol returns the name of an originator, or its number in decimal.
func (n Names) Protocol(p Protocol) string {
	return nameOf(uint64(p), n.Protocols[p], builtinProtocols()[p])
}

// ProtocolByName returns the originator that a name or a number stands for.
func (n Names) ProtocolByName(s string) (Protocol, bool) {
	return byName(s, n.Protocols, builtinProtocols())
}

// Realm returns the name of a realm, or its number in decimal.
func (n Names) Realm(r uint16) string { return nameOf(uint64(r), n.Realms[r], "") }

// RealmByName returns the realm that a name or a number stands for.
func (n Names) RealmByName(s string) (uint16, bool) { return byName(s, n.Realms, nil) }

// Group returns the name of an interface group, or its number in decimal.
func (n Names) Group(g uint32) string {
	builtin := ""
	if g == 0 {
		builtin = "default"
	}
	return nameOf(uint64(g), n.Groups[g], builtin)
}

// GroupByName returns the interface group that a name or a number stands for.
func (n Names) GroupByName(s string) (uint32, bool) {
	return byName(s, n.Groups, map[uint32]string{0: "default"})
}

func nameOf(number uint64, names ...string) string {
	for _, name := range names {
		if name != "" {
			return name
		}
	}
	return strconv.FormatUint(number, 10)
}

// byName looks a name up in the maps, the first one first and in it the
// smallest number, then reads it as a number in C's notation: decimal, 0x for
// hexadecimal, 0 for octal.
func byName[T ~uint8 | ~uint16 | ~uint32](s string, maps ...map[T]string) (T, bool) {
	for _, m := range maps {
		if v, ok := smallest(m, s); ok {
			return v, true
		}
	}
	v, err := parseNumber(s)
	if err != nil || uint64(T(v)) != v {
		return 0, false
	}
	return T(v), true
}

// parseNumber reads C's notation, which is Go's without 0b, 0o and 1_000.
func parseNumber(s string) (uint64, error) {
	if digits, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		return strconv.ParseUint(digits, 16, 64)
	}
	if digits, ok := strings.CutPrefix(s, "0"); ok && digits != "" {
		return strconv.ParseUint(digits, 8, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

func smallest[T ~uint8 | ~uint16 | ~uint32](m map[T]string, s string) (best T, ok bool) {
	for v, name := range m {
		if name == s && (!ok || v < best) {
			best, ok = v, true
		}
	}
	return best, ok
}
