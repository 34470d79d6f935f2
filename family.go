package rpdb

import (
	"fmt"
	"net/netip"
)

// Family is an address family, numbered as the kernel numbers it (AF_INET,
// AF_INET6). The two families have separate rule lists and separate tables;
// the zero value is no family.
type Family uint8

// The two families that the RPDB knows.
const (
	IPv4 Family = 2  // AF_INET
	IPv6 Family = 10 // AF_INET6
)

// Families lists both families in the order in which the kernel dumps them.
func Families() [2]Family { return [2]Family{IPv4, IPv6} }

// FamilyOf returns the family of an address, zero for the invalid address. An
// IPv4-mapped IPv6 address is IPv6, as it is for the kernel.
func FamilyOf(a netip.Addr) Family {
	switch {
	case a.Is4():
		return IPv4
	case a.Is6():
		return IPv6
	}
	return 0
}

// Bits returns the length of the family's addresses in bits, 0 for no family.
func (f Family) Bits() int {
	switch f {
	case IPv4:
		return 32
	case IPv6:
		return 128
	}
	return 0
}

// Unspecified returns the all-zero address of the family, and the invalid
// address for no family.
func (f Family) Unspecified() netip.Addr {
	switch f {
	case IPv4:
		return netip.IPv4Unspecified()
	case IPv6:
		return netip.IPv6Unspecified()
	}
	return netip.Addr{}
}

// Default returns the family's prefix of length 0.
func (f Family) Default() netip.Prefix { return netip.PrefixFrom(f.Unspecified(), 0) }

// String returns "IPv4" or "IPv6", as messages to people spell it.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// Flag returns "-4" or "-6", the family option of ip(8), and "" for no family.
func (f Family) Flag() string {
	switch f {
	case IPv4:
		return "-4"
	case IPv6:
		return "-6"
	}
	return ""
}

var familyWords = wordTable[Family]{kind: "family", words: []wordOf[Family]{{0, ""}, {IPv4, "inet"}, {IPv6, "inet6"}}}

// MarshalText writes the word of ip(8): "inet" or "inet6"; "" for no family.
func (f Family) MarshalText() ([]byte, error) { return familyWords.marshal(f) }

// UnmarshalText reads what MarshalText writes.
func (f *Family) UnmarshalText(text []byte) error { return familyWords.unmarshal(text, f) }
