package rpdb

import (
	"strconv"
	"strings"
)

// Names spells numbers as the files of iproute2 do (rt_tables, rt_protos,
// rt_realms, rt_scopes, rt_dsfield, group). It is a value that is passed in: nothing in
// this package reads a file. The zero Names knows the names that iproute2 has
// built in; entries of the maps come before those. The maps belong to whoever
// made it and are not modified.
type Names struct {
	Tables    map[TableID]string  `json:"tables,omitempty"`
	Protocols map[Protocol]string `json:"protocols,omitempty"`
	Realms    map[uint16]string   `json:"realms,omitempty"`
	DSFields  map[uint8]string    `json:"dsfields,omitempty"` // by the full DS field, DSCP << 2
	Groups    map[uint32]string   `json:"groups,omitempty"`
	Scopes    map[Scope]string    `json:"scopes,omitempty"`
}

// builtinTable returns the name that iproute2 has built in, "" for none.
func builtinTable(t TableID) string {
	switch t {
	case TableDefault:
		return "default"
	case TableMain:
		return "main"
	case TableLocal:
		return "local"
	}
	return ""
}

// builtinProtocol returns the name that iproute2 has built in, "" for none.
func builtinProtocol(p Protocol) string {
	switch {
	case p <= 4:
		return [...]string{"unspec", "redirect", "kernel", "boot", "static"}[p]
	case 8 <= p && p <= 16:
		return [...]string{"gated", "ra", "mrt", "zebra", "bird", "dnrouted", "xorp", "ntk", "dhcp"}[p-8]
	case 186 <= p && p <= 189:
		return [...]string{"bgp", "isis", "ospf", "rip"}[p-186]
	}
	switch p {
	case 18:
		return "keepalived"
	case 42:
		return "babel"
	case 192:
		return "eigrp"
	}
	return ""
}

// builtin returns the number of a built-in name.
func builtin[T ~uint8 | ~uint32](s string, name func(T) string) (T, bool) {
	for v := range 256 {
		if s != "" && name(T(v)) == s {
			return T(v), true
		}
	}
	return 0, false
}

// Table returns the name of a table, or its number in decimal.
func (n Names) Table(t TableID) string {
	return nameOf(uint64(t), n.Tables[t], builtinTable(t))
}

// TableByName returns the table that a name or a decimal number stands for.
func (n Names) TableByName(s string) (TableID, bool) {
	return byName(s, n.Tables, func(s string) (TableID, bool) { return builtin(s, builtinTable) })
}

// Protocol returns the name of an originator, or its number in decimal.
func (n Names) Protocol(p Protocol) string {
	return nameOf(uint64(p), n.Protocols[p], builtinProtocol(p))
}

// ProtocolByName returns the originator that a name or a number stands for.
func (n Names) ProtocolByName(s string) (Protocol, bool) {
	return byName(s, n.Protocols, func(s string) (Protocol, bool) { return builtin(s, builtinProtocol) })
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
	return byName(s, n.Groups, func(s string) (uint32, bool) { return 0, s == "default" })
}

// Scope returns the name of a scope, or its number in decimal.
func (n Names) Scope(s Scope) string {
	return nameOf(uint64(s), n.Scopes[s], s.String())
}

// ScopeByName returns the scope that a name or a number stands for.
func (n Names) ScopeByName(s string) (Scope, bool) {
	return byName(s, n.Scopes, func(s string) (Scope, bool) {
		var scope Scope
		err := scope.UnmarshalText([]byte(s))
		return scope, err == nil
	})
}

func nameOf(number uint64, names ...string) string {
	for _, name := range names {
		if name != "" {
			return name
		}
	}
	return strconv.FormatUint(number, 10)
}

// byName looks a name up in the map, the smallest number first, and then among
// those that are built in, if any are; and reads it as a number in C's notation:
// decimal, 0x for hexadecimal, 0 for octal.
func byName[T ~uint8 | ~uint16 | ~uint32](s string, names map[T]string, builtin func(string) (T, bool)) (T, bool) {
	if v, ok := smallest(names, s); ok {
		return v, true
	}
	if builtin != nil {
		if v, ok := builtin(s); ok {
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
