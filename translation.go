package rpdb

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// TranslationKind says how a [Translation] changes an address. The zero value
// is none.
type TranslationKind uint8

// The kinds. Stateful ones are made by connection tracking, which remembers each
// flow: what it decided for the first packet counts for all of them, and replies
// and ICMP errors are translated back without a map of their own. Stateless ones
// change every packet by itself.
const (
	// TranslateBlock maps a block onto another of the same length, address by
	// address (stateful; the old "nat" of ip-rule(8), NETMAP of iptables).
	TranslateBlock TranslationKind = 1 + iota
	// TranslateStateless is TranslateBlock without state.
	TranslateStateless
	// TranslateNeutral maps IPv6 prefixes without state so that checksums stay
	// right as they are, by a change to one more word of the address (NPTv6, RFC 6296).
	TranslateNeutral
	// TranslateAddress gives all packets one source address (stateful, snat).
	TranslateAddress
	// TranslateMasquerade gives packets the address of the interface that they
	// leave by (stateful; the old "nat 0").
	TranslateMasquerade
)

var translationWords = wordTable[TranslationKind]{kind: "kind of translation", words: []wordOf[TranslationKind]{
	{0, "none"},
	{TranslateBlock, "block"},
	{TranslateStateless, "stateless"},
	{TranslateNeutral, "checksum-neutral"},
	{TranslateAddress, "address"},
	{TranslateMasquerade, "masquerade"},
}}

// String returns the word for the kind, or the number.
func (k TranslationKind) String() string { return translationWords.word(k) }

// MarshalText writes the word for the kind, or the number.
func (k TranslationKind) MarshalText() ([]byte, error) { return translationWords.marshal(k) }

// UnmarshalText reads what MarshalText writes.
func (k *TranslationKind) UnmarshalText(text []byte) error {
	return translationWords.unmarshal(text, k)
}

// Maps reports whether the kind maps a block onto a block.
func (k TranslationKind) Maps() bool { return k >= TranslateBlock && k <= TranslateNeutral }

// Stateless reports whether each packet is translated by itself.
func (k TranslationKind) Stateless() bool { return k == TranslateStateless || k == TranslateNeutral }

// Translation changes the source address of the forwarded packets that one rule
// routes, and with Inbound the destination of those that come for the block.
// Which packets the rule routed is known by the realm, which the routes of the
// rule's table carry; those of IPv6, which has no realms, carry a program instead
// that marks packets with it ([CopyProgram]). Packets that the host itself sends are
// never translated. It is comparable with ==; two that mean the same are equal in
// their [Translation.Canonical] forms. The zero Translation translates nothing, and
// [Translation.Valid] refuses it.
type Translation struct {
	Family Family          `json:"family"`
	Kind   TranslationKind `json:"kind"`
	// From is the inside block, the rule's from. Only kinds that give all
	// packets one address do without.
	From netip.Prefix `json:"from,omitzero"`
	// To is the outside block, as long as From; of TranslateAddress the one
	// address, as a prefix of full length; of TranslateMasquerade none.
	To netip.Prefix `json:"to,omitzero"`
	// Inbound has packets to the outside block led to the inside, whoever sends
	// them (the old "route add nat"). Only blocks have it. A stateless
	// translation without it leaves replies to somebody else.
	Inbound bool `json:"inbound,omitzero"`
	// NoTrack takes all packets from the inside block, and to the outside one,
	// out of connection tracking, also those that other rules route. Only
	// stateless kinds have it.
	NoTrack bool `json:"notrack,omitzero"`
	// Realm is the destination realm of the rule's packets, and in IPv6 that of the
	// copy whose program they were given ([RealmOfCopy]).
	Realm uint16 `json:"realm,omitzero"`
	// Rule is the priority of the rule.
	Rule Priority `json:"rule"`
	// CopyOf is the table that the rule's own is a copy of, if the rule was made by
	// hand; 0 for those of policies, which tell that themselves.
	CopyOf TableID `json:"copy_of,omitzero"`
}

// Canonical returns the translation with its prefixes in canonical form.
func (t Translation) Canonical() Translation {
	t.From, t.To = canonicalPrefix(t.From), canonicalPrefix(t.To)
	return t
}

// Compare orders translations by family, rule and kind.
func (t Translation) Compare(o Translation) int {
	return cmp.Or(cmp.Compare(t.Family, o.Family), cmp.Compare(t.Rule, o.Rule),
		cmp.Compare(t.Kind, o.Kind), t.From.Compare(o.From), t.To.Compare(o.To), cmp.Compare(t.Realm, o.Realm))
}

// Valid returns nil if the parts of the translation go together: the blocks are
// of its family, of one length and without host bits, and it has what tells its
// packets from others.
func (t Translation) Valid() error {
	switch {
	case t.Family != IPv4 && t.Family != IPv6:
		return fmt.Errorf("a translation of %v", t.Family)
	case t.Realm == 0:
		return errors.New("a translation is tied to its rule by a realm")
	case t.Family == IPv6 && !IsCopyRealm(t.Realm):
		return fmt.Errorf("no program marks packets of IPv6 with the realm %d", t.Realm)
	case t.Inbound && !t.Kind.Maps():
		return fmt.Errorf("%v has no inbound map", t.Kind)
	case t.NoTrack && !t.Kind.Stateless():
		return fmt.Errorf("%v needs connection tracking", t.Kind)
	case t.Kind == TranslateNeutral && (t.Family != IPv6 || t.From.Bits() > 64):
		return errors.New("checksum-neutral is for prefixes of IPv6 of at most 64 bits")
	}
	return t.validBlocks()
}

func (t Translation) validBlocks() error {
	for _, p := range []netip.Prefix{t.From, t.To} {
		if p.IsValid() && (FamilyOf(p.Addr()) != t.Family || p.Bits() == 0 || p.Addr().Is4In6()) {
			return fmt.Errorf("%v is no block of %v", p, t.Family)
		}
		if p != p.Masked() {
			return fmt.Errorf("%v has host bits", p)
		}
	}
	switch {
	case t.Kind.Maps():
		if !t.From.IsValid() || t.From.Bits() != t.To.Bits() {
			return errors.New("both blocks of a map are of one length")
		}
	case t.Kind == TranslateAddress:
		if !t.To.IsSingleIP() {
			return errors.New("all packets get one address")
		}
	case t.Kind == TranslateMasquerade:
		if t.To.IsValid() {
			return errors.New("masquerade has the address of the interface")
		}
	default:
		return fmt.Errorf("unknown kind of translation %v", t.Kind)
	}
	return nil
}

// Source returns the address that the world sees of a packet from a. It is false
// for a packet that this does not translate, and where the address is not known
// from this alone: masquerade takes that of an interface.
func (t Translation) Source(a netip.Addr) (netip.Addr, bool) {
	if t.Valid() != nil || FamilyOf(a) != t.Family || t.From.IsValid() && !t.From.Contains(a) || t.Kind == TranslateMasquerade {
		return netip.Addr{}, false
	}
	if t.Kind == TranslateAddress {
		return t.To.Addr(), true
	}
	return t.mapped(a, t.From, t.To)
}

// Target returns the inside address that a packet to a is led to. It is false for
// a packet that the inbound map does not translate.
func (t Translation) Target(a netip.Addr) (netip.Addr, bool) {
	if t.Valid() != nil || !t.Inbound || !t.To.Contains(a) {
		return netip.Addr{}, false
	}
	return t.mapped(a, t.To, t.From)
}

func (t Translation) mapped(a netip.Addr, from, to netip.Prefix) (netip.Addr, bool) {
	base, b := to.Addr().As16(), a.As16()
	length := to.Bits() + 128 - t.Family.Bits()
	for i := range b {
		mask := byte(0xff) << (8 - min(max(length-8*i, 0), 8))
		b[i] = base[i]&mask | b[i]&^mask
	}
	if t.Kind == TranslateNeutral && !adjust(&b, from, to) {
		return netip.Addr{}, false
	}
	out := netip.AddrFrom16(b)
	if t.Family == IPv4 {
		out = out.Unmap()
	}
	return out.WithZone(a.Zone()), true
}

// adjust changes one word of an address by what its checksum lacks since its
// prefix was changed (RFC 6296, 3.4 and 3.5). The word is that of the subnet, and
// behind long prefixes the first of the interface identifier that is not 0xffff;
// an address without one is not translated.
func adjust(b *[16]byte, from, to netip.Prefix) bool {
	word, last := 3, 3
	if to.Bits() > 48 {
		word, last = 4, 7
	}
	for ; word <= last; word++ {
		old := binary.BigEndian.Uint16(b[2*word:])
		if old == 0xffff {
			continue
		}
		changed := onesAdd(old, Adjustment(from, to))
		if changed == 0xffff {
			changed = 0
		}
		binary.BigEndian.PutUint16(b[2*word:], changed)
		return true
	}
	return false
}

// Adjustment returns what must be added, in ones' complement, to one word of an
// address whose prefix is changed, so that its checksum stays what it was
// (RFC 6296, 3.1).
func Adjustment(from, to netip.Prefix) uint16 {
	return onesAdd(onesSum(from.Masked().Addr()), ^onesSum(to.Masked().Addr()))
}

func onesSum(a netip.Addr) (sum uint16) {
	b := a.As16()
	for i := 0; i < len(b); i += 2 {
		sum = onesAdd(sum, binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

// onesAdd adds in ones' complement: what is carried out comes in again.
func onesAdd(a, b uint16) uint16 {
	sum := uint32(a) + uint32(b)
	return uint16(sum) + uint16(sum>>16)
}

// String returns the translation in the words of a policy: "nat 203.0.113.0/24".
func (t Translation) String() string {
	switch t.Kind {
	case TranslateBlock:
		return "nat " + t.To.String()
	case TranslateStateless, TranslateNeutral:
		return "nat " + t.To.String() + " " + t.Kind.String()
	case TranslateAddress:
		return "nat " + t.To.Addr().String()
	}
	return "nat " + t.Kind.String()
}
