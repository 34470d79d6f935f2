package iproute2

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

var errNumber = errors.New("not a number in range")

// parseUint reads an unsigned number as strtoul(3) does: leading blanks and a
// plus sign, and with base 0 the prefixes 0x and 0. Unlike it, empty text and
// text behind the number are errors, and so is a number of more bits.
func parseUint(s string, base, bits int) (uint64, error) {
	s = strings.TrimPrefix(strings.TrimLeft(s, " \t\n\v\f\r"), "+")
	if hex := strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X"); hex != s && (base == 0 || base == 16) {
		s, base = hex, 16
	}
	if base == 0 {
		base = 10
		if len(s) > 1 && s[0] == '0' {
			base = 8
		}
	}
	if s == "" || s[0] == '+' || s[0] == '-' || strings.Contains(s, "_") {
		return 0, errNumber
	}
	n, err := strconv.ParseUint(s, base, bits)
	if err != nil {
		return 0, errNumber
	}
	return n, nil
}

// parseUint64 also takes negative numbers, wrapped, as ip does for tunnel ids.
func parseUint64(s string) (uint64, error) {
	if t, negative := strings.CutPrefix(strings.TrimLeft(s, " \t"), "-"); negative {
		n, err := parseUint(t, 0, 64)
		return -n, err
	}
	return parseUint(s, 0, 64)
}

// scanUint32 reads decimal digits as the %u of sscanf(3): leading blanks are
// skipped, the value wraps at 32 bits, the rest is returned.
func scanUint32(s string) (n uint32, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	end := 0
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0, s, false
	}
	v, _ := strconv.ParseUint(s[:end], 10, 64) // out of range gives the largest value, as strtoul does
	return uint32(v), s[end:], true
}

// parseIPv4 reads one to four numbers in any base, with dots between; those
// that are missing at the end are 0.
func parseIPv4(s string) (netip.Addr, bool) {
	var octets [4]byte
	parts := strings.Split(s, ".")
	if len(parts) > len(octets) {
		return netip.Addr{}, false
	}
	for i, part := range parts {
		n, err := parseUint(part, 0, 8)
		if err != nil || strings.TrimLeft(part, " +") != part {
			return netip.Addr{}, false
		}
		octets[i] = byte(n)
	}
	return netip.AddrFrom4(octets), true
}

// parseAddr reads an address of the family, or of any for family 0: with a
// colon in it, it is IPv6.
func parseAddr(s string, f rpdb.Family) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		return a, err == nil && a.Zone() == "" && f != rpdb.IPv4
	}
	a, ok := parseIPv4(s)
	return a, ok && f != rpdb.IPv6
}

// parsePrefix reads a prefix of the family, or of any for family 0: an
// address with an optional length or dotted mask. "all", "any" and "default"
// are the zero prefix, which matches everything. Host bits are kept.
func parsePrefix(s string, f rpdb.Family) (netip.Prefix, bool) {
	if s == "all" || s == "any" || s == "default" {
		return netip.Prefix{}, true
	}
	text, length, hasLength := strings.Cut(s, "/")
	addr, ok := parseAddr(text, f)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if hasLength {
		if bits, ok = parseLength(length, addr.BitLen()); !ok {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(addr, bits), true
}

// parseLength reads what follows the slash of a prefix: a number of bits, or
// a dotted mask whose ones stand together.
func parseLength(s string, limit int) (int, bool) {
	if n, err := parseUint(s, 0, 16); err == nil && int(n) <= limit {
		return int(n), true
	}
	mask, ok := parseIPv4(s)
	if !ok || limit != 32 || !strings.Contains(s, ".") {
		return 0, false
	}
	for bits := range 33 {
		if netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked().Addr() == mask {
			return bits, true
		}
	}
	return 0, false
}
