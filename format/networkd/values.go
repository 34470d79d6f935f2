package networkd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
)

// boolean reads a boolean of systemd.syntax(7).
func boolean(value string) (bool, error) {
	switch word := strings.ToLower(value); {
	case slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, word):
		return true, nil
	case slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, word):
		return false, nil
	}
	return false, errors.New("it is neither yes nor no")
}

// number reads a number from low to high: decimal, 0x for hexadecimal, 0 for
// octal.
func number[T ~uint8 | ~uint16 | ~uint32 | ~int32](value string, low, high uint64) (T, error) {
	n, err := strconv.ParseUint(value, 0, 64)
	if err != nil || strings.Contains(value, "_") || n < low || n > high {
		return 0, fmt.Errorf("it is no number from %d to %d", low, high)
	}
	return T(n), nil
}

// prefix reads an address with or without the length of a prefix.
func prefix(value string) (netip.Prefix, error) {
	if a, err := address(value); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(value)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("it is neither an address nor a prefix")
	}
	return p, nil
}

// address reads an address.
func address(value string) (netip.Addr, error) {
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, errors.New("it is no address")
	}
	return a, nil
}

// span reads "5" or "5-7".
func span[T ~uint16 | ~uint32](value string, low, high uint64) (first, last T, err error) {
	from, to, ranged := strings.Cut(value, "-")
	if !ranged {
		to = from
	}
	first, err = number[T](strings.TrimSpace(from), low, high)
	if err == nil {
		last, err = number[T](strings.TrimSpace(to), low, high)
	}
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("it is neither a number from %d to %d nor a range of them", low, high)
	case last < first:
		return 0, 0, errors.New("its end is in front of its beginning")
	}
	return first, last, nil
}

// ports reads a port or a range of ports.
func ports(value string) (rpdb.Ports, error) {
	first, last, err := span[uint16](value, 1, 65535)
	if err != nil {
		return rpdb.Ports{}, err
	}
	if first == last {
		return rpdb.Port(first), nil
	}
	return rpdb.PortRange(first, last), nil
}

// table reads the number of a table, or a name that RouteTable= or networkd
// itself gives to one.
func (r *reader) table(value string) (rpdb.TableID, error) {
	switch value {
	case "default":
		return rpdb.TableDefault, nil
	case "main":
		return rpdb.TableMain, nil
	case "local":
		return rpdb.TableLocal, nil
	}
	if t, ok := r.tables[value]; ok {
		return t, nil
	}
	t, err := number[rpdb.TableID](value, 1, 1<<32-1)
	if err != nil {
		return 0, errors.New("it is neither the number of a table nor a name that RouteTable= of networkd.conf gives to one")
	}
	return t, nil
}

// ipProtocols returns the protocols that networkd knows. It takes their numbers
// too, and no others.
func ipProtocols() map[string]rpdb.IPProto {
	return map[string]rpdb.IPProto{
		"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "pup": 12, "udp": 17, "idp": 22, "tp": 29, "dccp": 33,
		"ipv6": 41, "routing": 43, "fragment": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "none": 59,
		"dstopts": 60, "mtp": 92, "beetph": 94, "encap": 98, "pim": 103, "comp": 108, "l2tp": 115, "sctp": 132, "mh": 135,
		"udplite": 136, "mpls": 137, "ethernet": 143, "raw": 255,
	}
}

// ipProtocol reads the name or number of a protocol.
func ipProtocol(value string) (rpdb.IPProto, error) {
	known := ipProtocols()
	if p, ok := known[value]; ok {
		return p, nil
	}
	n, err := number[rpdb.IPProto](value, 1, 255)
	if err != nil {
		return 0, errors.New("it is no protocol that networkd knows")
	}
	for _, p := range known {
		if p == n {
			return p, nil
		}
	}
	return 0, errors.New("networkd takes no protocol without a name of its own, and would leave the selector out")
}

// linkName reads the name of an interface.
func linkName(value string) (rpdb.LinkName, error) {
	if !isLinkName(value) {
		return "", errors.New("networkd takes it for no name of an interface, and would leave it out")
	}
	return rpdb.LinkName(value), nil
}

// isLinkName reports whether networkd takes a name where it wants that of one
// interface.
func isLinkName(name string) bool {
	if len(name) < 1 || len(name) > 15 || slices.Contains([]string{"all", "default", ".", ".."}, name) {
		return false
	}
	digits := true
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("/:%", c) >= 0 {
			return false
		}
		digits = digits && '0' <= c && c <= '9'
	}
	return !digits
}

// isMatchName reports whether a name stands for itself in Name= of [Match],
// where there are lists, patterns, quotes and inversion.
func isMatchName(name string) bool {
	return isLinkName(name) && !strings.ContainsAny(name, `*?[]!"'\`)
}
