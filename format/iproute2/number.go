package iproute2

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"net/netip"
	"strings"

	"rpdb"
)

var errNumber = errors.New("not a number in range")

const space = " \t\n\v\f\r"

// strtoul reads a number as strtoul(3) does: leading white space, a sign, and
// with base 0 the prefixes 0x, 0 and, as in C libraries since C23, 0b. A negative number wraps at 64 bits, one
// that does not fit is the largest. What is not of the number is the rest; all
// of s if there is no digit.
func strtoul(s string, base int) (n uint64, rest string, overflow bool) {
	t := strings.TrimLeft(s, space)
	negative := strings.HasPrefix(t, "-")
	if negative || strings.HasPrefix(t, "+") {
		t = t[1:]
	}
	if len(t) > 2 && t[0] == '0' && t[1]|0x20 == 'x' && digit(t[2]) < 16 && (base == 0 || base == 16) {
		t, base = t[2:], 16
	}
	if len(t) > 2 && t[0] == '0' && t[1]|0x20 == 'b' && digit(t[2]) < 2 && base == 0 {
		t, base = t[2:], 2
	}
	if base == 0 {
		base = 10
		if strings.HasPrefix(t, "0") {
			base = 8
		}
	}
	end := 0
	for ; end < len(t) && digit(t[end]) < base; end++ {
		high, low := bits.Mul64(n, uint64(base))
		sum, carry := bits.Add64(low, uint64(digit(t[end])), 0)
		overflow = overflow || high+carry > 0
		n = sum
	}
	switch {
	case end == 0:
		return 0, s, false
	case overflow:
		n = math.MaxUint64
	case negative:
		n = -n
	}
	return n, t[end:], overflow
}

// digit returns the value of a digit up to base 16, 99 for any other byte.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 99
}

// parseUint reads a number with strtoul and refuses what ip refuses: no
// digits, text behind them, more bits than given. A negative number thus only
// passes where 64 bits are allowed.
func parseUint(s string, base, bits int) (uint64, error) {
	if n, ok := plainUint(s, base); ok && (bits == 64 || n>>bits == 0) {
		return n, nil
	}
	n, rest, overflow := strtoul(s, base)
	if rest != "" || s == "" || overflow || (bits < 64 && n>>bits != 0) {
		return 0, errNumber
	}
	return n, nil
}

// IsNumber reports whether ip takes a word for a number of so many bits, which may be
// in any base that C has.
func IsNumber(word string, bits int) bool {
	_, err := parseUint(word, 0, bits)
	return err == nil
}

// plainUint reads the common spelling of a number, which batches of a million
// lines are full of: decimal digits that every base but 16 takes for decimal.
func plainUint(s string, base int) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > 18 || s[0] == '0' && len(s) > 1 || base != 0 && base != 10 {
		return 0, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = 10*n + uint64(d)
	}
	return n, true
}

// plainIPv4 reads the common spelling of an address: four decimal numbers without
// leading zeros.
func plainIPv4(s string) (octets [4]byte, ok bool) {
	at, digits, n := 0, 0, 0
	for i := range len(s) {
		switch d := int(s[i]) - '0'; {
		case 0 <= d && d <= 9 && (digits == 0 || n != 0):
			if n = 10*n + d; n > 255 {
				return octets, false
			}
			digits++
		case s[i] == '.' && digits > 0 && at < 3:
			octets[at] = byte(n)
			at, digits, n = at+1, 0, 0
		default:
			return octets, false
		}
	}
	octets[at] = byte(n)
	return octets, at == 3 && digits > 0
}

// scanUint32 reads decimal digits as the %u of sscanf(3): leading white space
// and a sign are skipped, the value wraps at 32 bits, the rest is returned.
func scanUint32(s string) (n uint32, rest string, ok bool) {
	v, rest, _ := strtoul(s, 10)
	return uint32(v), rest, len(rest) < len(s)
}

// parseIPv4 reads one to four numbers in any base, with dots between; those
// that are missing at the end are 0.
func parseIPv4(s string) (netip.Addr, bool) {
	if octets, ok := plainIPv4(s); ok {
		return netip.AddrFrom4(octets), true
	}
	var octets [4]byte
	for i, more := 0, true; more; i++ {
		var part string
		part, s, more = strings.Cut(s, ".")
		if i == len(octets) {
			return netip.Addr{}, false
		}
		n, err := parseUint(part, 0, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		octets[i] = byte(n)
	}
	return netip.AddrFrom4(octets), true
}

// labelBits is the length of an MPLS label.
const labelBits = 20

// parseAddr reads an address of the family, or of any for family 0: with a
// colon in it, it is IPv6. An address of MPLS is a label, as an entry of a
// label stack.
func parseAddr(s string, f rpdb.Family) (netip.Addr, bool) {
	if f == familyMPLS {
		n, err := parseUint(s, 0, labelBits)
		return netip.AddrFrom4([4]byte{byte(n >> 12), byte(n >> 4), byte(n<<4) | 1, 0}), err == nil
	}
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		return a, err == nil && a.Zone() == "" && (f == 0 || f == rpdb.IPv6)
	}
	a, ok := parseIPv4(s)
	return a, ok && (f == 0 || f == rpdb.IPv4)
}

// parsePrefix reads a prefix of the family, or of any for family 0: an
// address with an optional length or dotted mask. "all", "any" and "default"
// are the zero prefix, which matches everything. Host bits are kept.
func parsePrefix(s string, f rpdb.Family) (netip.Prefix, bool) {
	if isAll(s) {
		return netip.Prefix{}, f != familyMPLS
	}
	text, length, hasLength := strings.Cut(s, "/")
	addr, ok := parseAddr(text, f)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if f == familyMPLS {
		bits = labelBits
	}
	if hasLength {
		if bits, ok = parseLength(length, bits); !ok {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(addr, bits), true
}

// isAll reports whether s is one of the words for all addresses.
func isAll(s string) bool { return s == "all" || s == "any" || s == "default" }

// parseLength reads what follows the slash of a prefix: a number of bits, or
// a dotted mask whose ones stand together, in IPv6 too.
func parseLength(s string, limit int) (int, bool) {
	if n, err := parseUint(s, 0, 32); err == nil {
		return int(n), n <= uint64(limit)
	}
	mask, ok := parseIPv4(s)
	if !ok {
		return 0, isAll(s)
	}
	b := mask.As4()
	ones := binary.BigEndian.Uint32(b[:])
	n := bits.LeadingZeros32(^ones)
	return n, ones<<n == 0 && n <= limit
}
