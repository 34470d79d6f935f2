package snapshot

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"

	"rpdb"
)

// Key is the secret that a redaction depends on: whoever has it can find out
// the real addresses. The same key makes the same replacements.
type Key [32]byte

// Redactor replaces addresses, and interface names if asked to. Two addresses
// that have their first n bits in common have that many in common afterwards,
// and no more, so prefixes, routes and rules fit each other as before.
//
// Addresses that the kernel treats in a way of their own keep that: the
// beginnings that say so stay as they are (loopback, link-local, multicast,
// private and documentation networks, those that RFC 6724 knows), and nothing
// else becomes one of them. It is not safe for concurrent use; see
// [NewRedactor].
type Redactor struct {
	key   Key
	names bool
	links map[rpdb.LinkName]rpdb.LinkName
	kept  []netip.Prefix
	bits  map[netip.Prefix]bool // what was already decided
}

// NewRedactor returns a redactor; names says whether to replace the names of
// interfaces too, by "if" and the index.
func NewRedactor(key Key, names bool) *Redactor {
	return &Redactor{
		key: key, names: names, kept: special(),
		links: map[rpdb.LinkName]rpdb.LinkName{}, bits: map[netip.Prefix]bool{},
	}
}

// special are the prefixes that stay where they are.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24", "192.168.0.0/16",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/24", "224.0.1.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "0.0.0.0/32",
		"::/128", "::1/128", "::ffff:0:0/96", "::/96", "2001::/32", "2001:db8::/32", "2001:10::/28", "2002::/16", "3ffe::/16",
		"fc00::/7", "fec0::/10", "fe80::/64", "fe80::/10", "ff00::/8",
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	for scope := range 16 { // of multicast, and the groups of all nodes and routers
		list = append(list, netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff, byte(scope)}), 16))
	}
	return list
}

// fixed reports whether the bit behind a prefix must stay: it decides whether
// an address is a special one.
func (r *Redactor) fixed(p netip.Prefix) bool {
	for _, s := range r.kept {
		if s.Bits() > p.Bits() && p.Contains(s.Addr()) {
			return true
		}
	}
	return false
}

// flips reports whether the bit behind a prefix is turned around.
func (r *Redactor) flips(p netip.Prefix) bool {
	if flip, ok := r.bits[p]; ok {
		return flip
	}
	flip := false
	if !r.fixed(p) {
		mac := hmac.New(sha256.New, r.key[:])
		text, _ := p.MarshalBinary() // a valid prefix always has one
		mac.Write(text)
		flip = mac.Sum(nil)[0]&1 != 0
	}
	r.bits[p] = flip
	return flip
}

// Addr replaces an address; an invalid one stays so. Loopback and unspecified
// addresses and multicast groups are kept, since they name nobody.
func (r *Redactor) Addr(a netip.Addr) netip.Addr {
	if !a.IsValid() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
		return a
	}
	return r.mapped(a, a.BitLen())
}

// mapped replaces the first bits of an address.
func (r *Redactor) mapped(a netip.Addr, bits int) netip.Addr {
	from, to := a.AsSlice(), a.AsSlice()
	for i := range bits {
		p, err := a.Prefix(i)
		if err == nil && r.flips(p) {
			to[i/8] = to[i/8]&^(0x80>>(i%8)) | ^from[i/8]&(0x80>>(i%8))
		}
	}
	out, _ := netip.AddrFromSlice(to)
	return out
}

// Prefix replaces a prefix and the host bits that it may have.
func (r *Redactor) Prefix(p netip.Prefix) netip.Prefix {
	if !p.IsValid() {
		return p
	}
	a := p.Addr()
	if p.Masked() == p { // a network: its zeros mean nothing and stay
		return netip.PrefixFrom(r.network(a, p.Bits()), p.Bits())
	}
	return netip.PrefixFrom(r.Addr(a), p.Bits())
}

func (r *Redactor) network(a netip.Addr, bits int) netip.Addr {
	if a.IsLoopback() || a.IsMulticast() {
		return a
	}
	return r.mapped(a, bits)
}

// Link replaces the name of an interface, unless names are kept. "lo" keeps its
// name, which rules give a meaning.
func (r *Redactor) Link(name rpdb.LinkName) rpdb.LinkName {
	if !r.names || name == "" || name == "lo" {
		return name
	}
	if made, ok := r.links[name]; ok {
		return made
	}
	made := rpdb.LinkName(fmt.Sprintf("gone%d", len(r.links)))
	r.links[name] = made
	return made
}

// Flow replaces the addresses and names of a flow, as a snapshot's are.
func (r *Redactor) Flow(f rpdb.Flow) rpdb.Flow {
	f.Dst, f.Src = r.Addr(f.Dst), r.Addr(f.Src)
	f.IIF, f.OIF = r.Link(f.IIF), r.Link(f.OIF)
	return f
}

// Snapshot returns a redacted copy; s stays as it is. What could hold an
// address and is not understood, the attributes of tunnels and unknown ones, is
// overwritten with zeros; but for the programs of rpdb's own copies of tables. The seed of the multipath hash goes too: it would
// give other answers for other addresses.
func (r *Redactor) Snapshot(s *rpdb.Snapshot) *rpdb.Snapshot {
	out := *s
	for _, l := range s.Links {
		if r.names && l.Name != "lo" {
			r.links[l.Name] = rpdb.LinkName(fmt.Sprintf("if%d", l.Index))
		}
	}
	out.Links = each(s.Links, func(l rpdb.Link) rpdb.Link { l.Name = r.Link(l.Name); return l })
	out.Rules = each(s.Rules, r.rule)
	out.Routes = each(s.Routes, r.route)
	out.Addresses = each(s.Addresses, func(a rpdb.Address) rpdb.Address {
		a.Prefix, a.Peer = netip.PrefixFrom(r.Addr(a.Prefix.Addr()), a.Prefix.Bits()), r.Addr(a.Peer)
		return a
	})
	out.Neighbours = nil
	for _, n := range s.Neighbours {
		if !n.Addr.IsMulticast() { // which says the end of an address, and decides nothing
			n.Addr = r.Addr(n.Addr)
			out.Neighbours = append(out.Neighbours, n)
		}
	}
	out.Nexthops = each(s.Nexthops, func(o rpdb.NexthopObject) rpdb.NexthopObject {
		o.Nexthop, o.Unknown = r.hop(o.Nexthop), blank(o.Unknown)
		return o
	})
	out.NAT.Translations = each(s.NAT.Translations, func(t rpdb.Translation) rpdb.Translation {
		t.From, t.To = r.Prefix(t.From), r.Prefix(t.To)
		return t
	})
	out.NAT.Unknown = each(s.NAT.Unknown, func(string) string { return "something that is not shown" })
	out.Sysctls.HashSeed = 0
	out.Sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{}
	for name, settings := range s.Sysctls.Links {
		out.Sysctls.Links[r.Link(name)] = settings
	}
	return &out
}

func each[T any](list []T, f func(T) T) []T {
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func (r *Redactor) rule(x rpdb.Rule) rpdb.Rule {
	x.Selector.From, x.Selector.To = r.Prefix(x.Selector.From), r.Prefix(x.Selector.To)
	x.Selector.IIF, x.Selector.OIF = r.Link(x.Selector.IIF), r.Link(x.Selector.OIF)
	x.Unknown = blank(x.Unknown)
	return x
}

func (r *Redactor) route(x rpdb.Route) rpdb.Route {
	x.Dst, x.Src, x.PrefSrc = r.Prefix(x.Dst), r.Prefix(x.Src), r.Addr(x.PrefSrc)
	x.Nexthops = each(x.Nexthops, r.hop)
	x.Unknown = blank(x.Unknown)
	return x
}

func (r *Redactor) hop(n rpdb.Nexthop) rpdb.Nexthop {
	n.Via = r.Addr(n.Via)
	// The program of a copy names its table, and nothing else; by it the packets
	// of a rule are known.
	if _, ok := n.CopyTable(); !ok {
		n.Encap = blank(n.Encap)
	}
	return n
}

// blank overwrites attributes: that there are some still counts.
func blank(raw rpdb.Raw) rpdb.Raw { return rpdb.Raw(strings.Repeat("\x00", len(raw))) }
