package iptext

import (
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// Link is an interface as a listing shows it. Of the interface it belongs to a
// listing has the name only.
type Link struct {
	Link     rpdb.Link // without Master
	Master   rpdb.LinkName
	AltNames []rpdb.LinkName
	// Named says that the listing has no more than the number and the name, as
	// that of "ip -o addr".
	Named bool
	// Detailed says that the listing tells the kind of the interface, as with -d.
	Detailed bool
	// Port is the kind of the interface that this one belongs to, as far as this
	// one tells, and PortTable the table if that is a VRF.
	Port      string
	PortTable rpdb.TableID
	Addresses []rpdb.Address
	Entry     Entry
}

// Links reads the interfaces of a section of links, with their addresses.
func (s Section) Links(n rpdb.Names) ([]Link, error) {
	var all []Link
	for _, e := range s.Entries {
		if s.JSON {
			links, err := readLinkArray(e, n)
			if err != nil {
				return nil, err
			}
			all = append(all, links...)
			continue
		}
		r := linkReader{e: e, names: n}
		if err := r.read(); err != nil {
			return nil, err
		}
		r.link.Entry = e
		all = append(all, r.link)
	}
	return all, nil
}

// linkReader reads one entry of text.
type linkReader struct {
	e     Entry
	names rpdb.Names
	link  Link
	stats bool // counters come next
}

func (r *linkReader) fail(word, reason string) error { return r.e.FailWord(word, reason) }

func (r *linkReader) short() error {
	return r.e.Fail(len(r.e.Text), "", "the listing of the interface stops short")
}

// read reads the lines. With -o there is one, which says where lines end.
func (r *linkReader) read() error {
	text := strings.ReplaceAll(r.e.Text, "\\    ", "\n    ")
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		var err error
		switch {
		case len(words) == 0:
		case i == 0:
			err = r.head(words)
		default:
			err = r.line(words)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// head reads the first line.
func (r *linkReader) head(words []string) error {
	l := &r.link.Link
	index, err := strconv.ParseUint(strings.TrimSuffix(words[0], ":"), 10, 31)
	if err != nil || index == 0 {
		return r.fail(words[0], "not the number of an interface")
	}
	l.Index = rpdb.LinkIndex(index)
	if len(words) < 3 {
		return r.short()
	}
	name, full := strings.CutSuffix(words[1], ":")
	if l.Name = linkName(name, full); !isLinkName(string(l.Name)) {
		return r.fail(words[1], "not the name of an interface")
	}
	if !full {
		r.link.Named = true
		return r.line(words[2:])
	}
	list, ok := strings.CutPrefix(words[2], "<")
	list, closed := strings.CutSuffix(list, ">")
	if !ok || !closed {
		return r.fail(words[2], "not the flags of an interface")
	}
	if l.Flags, ok = linkFlags(strings.Split(list, ",")); !ok {
		return r.fail(words[2], "flags of an interface that are not known")
	}
	return r.fields(words[3:])
}

// linkName takes off what stands behind an interface for the one below it.
func linkName(s string, full bool) rpdb.LinkName {
	if i := strings.LastIndexByte(s, '@'); full && i > 0 {
		s = s[:i]
	}
	return rpdb.LinkName(s)
}

func isLinkName(s string) bool { return s != "" && len(s) < 16 && !strings.ContainsAny(s, "/ \t\x00") }

// fields reads the pairs of words behind the flags.
func (r *linkReader) fields(words []string) error {
	l := &r.link.Link
	hasMTU := false
	for len(words) > 0 {
		key := words[0]
		if len(words) == 1 {
			return r.short()
		}
		value := words[1]
		words = words[2:]
		switch key {
		case "mtu":
			mtu, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return r.fail(value, "not an MTU")
			}
			l.MTU, hasMTU = uint32(mtu), true
		case "master":
			r.link.Master = rpdb.LinkName(value)
		case "group":
			g, ok := r.names.GroupByName(value)
			if !ok {
				return r.fail(value, "no interface group has this name here")
			}
			l.Group = g
		case "qdisc", "state", "mode", "qlen", "event", "link-netnsid", "link-netns", "promiscuity", "allmulti", "protodown", "portid", "gso_max_size":
		default:
			return r.fail(key, "not a word of the listing of an interface")
		}
	}
	if !hasMTU {
		return r.short()
	}
	return nil
}

// line reads one of the other lines.
func (r *linkReader) line(words []string) error {
	first := words[0]
	if r.stats && strings.Trim(first, "0123456789.KMGTPi") == "" {
		return nil
	}
	r.stats = false
	switch first {
	case "inet", "inet6":
		return r.address(words)
	case "valid_lft":
		return r.lifetimes(words)
	case "altname":
		if len(words) != 2 {
			return r.fail(first, "not a second name")
		}
		r.link.AltNames = append(r.link.AltNames, rpdb.LinkName(words[1]))
		return nil
	case "RX", "RX:", "TX", "TX:":
		r.stats = true
		return nil
	case "alias", "vf", "xdp", "prog/xdp", "parentbus", "parentdev":
		return nil
	}
	if strings.HasPrefix(first, "link/") {
		for _, w := range words {
			r.link.Detailed = r.link.Detailed || w == "promiscuity"
		}
		return nil
	}
	if !r.link.Detailed {
		return r.fail(first, "not a line of the listing of an interface")
	}
	return r.details(words)
}

// details reads what a kind of interfaces has to tell, of which only the kind
// and the table of a VRF matter. Kinds may have further lines.
func (r *linkReader) details(words []string) error {
	kind, isPort := strings.CutSuffix(words[0], "_slave")
	switch {
	case isPort:
		r.link.Port = kind
	case r.link.Link.Kind == "":
		r.link.Link.Kind = kind
	default:
		return nil
	}
	if kind != "vrf" {
		return nil
	}
	if len(words) < 3 || words[1] != "table" {
		return r.short()
	}
	t, ok := r.names.TableByName(words[2])
	if !ok {
		return r.fail(words[2], "no table has this name here")
	}
	if isPort {
		r.link.PortTable = t
	} else {
		r.link.Link.VRFTable = t
	}
	return nil
}

// linkFlags reads the flags by their names; others are in hexadecimal. Whether
// the interface runs is told by its opposite, of those that are up.
func linkFlags(names []string) (flags rpdb.LinkFlags, ok bool) {
	running := true
	for _, name := range names {
		bit := linkFlag(name)
		switch {
		case name == "NO-CARRIER":
			running = false
		case name == "M-DOWN" || name == "":
		case bit != 0:
			flags |= bit
		default:
			n, err := strconv.ParseUint(name, 16, 32)
			if err != nil {
				return 0, false
			}
			flags |= rpdb.LinkFlags(n)
		}
	}
	if flags&rpdb.LinkUp != 0 && running {
		flags |= rpdb.LinkRunning
	}
	return flags, true
}

func linkFlag(name string) rpdb.LinkFlags {
	switch name {
	case "UP":
		return rpdb.LinkUp
	case "BROADCAST":
		return 0x2
	case "DEBUG":
		return 0x4
	case "LOOPBACK":
		return rpdb.LinkLoopback
	case "POINTOPOINT":
		return rpdb.LinkP2P
	case "NOTRAILERS":
		return 0x20
	case "NOARP":
		return rpdb.LinkNoARP
	case "PROMISC":
		return 0x100
	case "ALLMULTI":
		return 0x200
	case "MASTER":
		return 0x400
	case "SLAVE":
		return 0x800
	case "MULTICAST":
		return 0x1000
	case "PORTSEL":
		return 0x2000
	case "AUTOMEDIA":
		return 0x4000
	case "DYNAMIC":
		return 0x8000
	case "LOWER_UP":
		return rpdb.LinkLowerUp
	case "DORMANT":
		return 0x20000
	case "ECHO":
		return 0x40000
	}
	return 0
}

// address reads a line of an address.
func (r *linkReader) address(words []string) error {
	a := rpdb.Address{Link: r.link.Link.Index, Flags: rpdb.AddressPermanent}
	if len(words) < 2 {
		return r.short()
	}
	local, bits, ok := readAddress(words[1], words[0] == "inet6")
	if !ok {
		return r.fail(words[1], "not an address")
	}
	rest, hasScope := words[2:], false
	for len(rest) > 0 {
		key := rest[0]
		rest = rest[1:]
		switch key {
		case "peer", "brd", "any", "scope", "metric", "proto", "flags":
			if len(rest) == 0 {
				return r.short()
			}
			value := rest[0]
			rest = rest[1:]
			switch key {
			case "peer":
				if a.Peer, bits, ok = readAddress(value, words[0] == "inet6"); !ok {
					return r.fail(value, "not an address")
				}
			case "scope":
				if a.Scope, hasScope = r.names.ScopeByName(value); !hasScope {
					return r.fail(value, "no scope has this name here")
				}
			case "flags":
				n, err := strconv.ParseUint(value, 16, 32)
				if err != nil {
					return r.fail(value, "not flags of an address")
				}
				a.Flags |= rpdb.AddressFlags(n)
			}
		case "dynamic":
			a.Flags &^= rpdb.AddressPermanent
		default:
			bit := addressFlag(key)
			if bit == 0 && (len(rest) > 0 || words[0] == "inet6") { // the last word is a label
				return r.fail(key, "not a word of the listing of an address")
			}
			a.Flags |= bit
		}
	}
	if !hasScope {
		return r.short()
	}
	a.Prefix = netip.PrefixFrom(local, bits)
	r.link.Addresses = append(r.link.Addresses, a)
	return nil
}

// readAddress reads an address with or without a length.
func readAddress(s string, v6 bool) (a netip.Addr, bits int, ok bool) {
	text, length, hasLength := strings.Cut(s, "/")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4() == v6 {
		return netip.Addr{}, 0, false
	}
	bits = a.BitLen()
	if hasLength {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits {
			return netip.Addr{}, 0, false
		}
		bits = int(n)
	}
	return a, bits, true
}

func addressFlag(name string) rpdb.AddressFlags {
	switch name {
	case "secondary", "temporary":
		return rpdb.AddressSecondary
	case "nodad":
		return rpdb.AddressNoDAD
	case "optimistic":
		return 0x4
	case "dadfailed":
		return rpdb.AddressDADFailed
	case "home":
		return 0x10
	case "deprecated":
		return rpdb.AddressDeprecated
	case "tentative":
		return rpdb.AddressTentative
	case "permanent":
		return rpdb.AddressPermanent
	case "mngtmpaddr":
		return 0x100
	case "noprefixroute":
		return 0x200
	case "autojoin":
		return 0x400
	case "stable-privacy":
		return 0x800
	}
	return 0
}

// lifetimes reads the line behind an address.
func (r *linkReader) lifetimes(words []string) error {
	if len(r.link.Addresses) == 0 {
		return r.fail(words[0], "no address stands before it")
	}
	if len(words) != 4 || words[2] != "preferred_lft" {
		return r.short()
	}
	a := &r.link.Addresses[len(r.link.Addresses)-1]
	for i, to := range map[int]*uint32{1: &a.Valid, 3: &a.Preferred} {
		if words[i] == "forever" {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(words[i], "sec"), 10, 32)
		if err != nil || !strings.HasSuffix(words[i], "sec") {
			return r.fail(words[i], "not a time")
		}
		*to = uint32(n)
	}
	return nil
}
