package iproute2

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/format"
)

// address runs the words after "ip address": add or replace, a prefix and the
// interface. Addresses without a life time are all it knows.
func (s *Setup) address(f rpdb.Family, words []string) ([]rpdb.Change, error) {
	if len(words) < 2 || !slices.Contains([]string{"add", "a", "replace"}, words[0]) {
		return nil, errors.New("only ip address add PREFIX dev NAME is understood")
	}
	text, name := "", ""
	scope := rpdb.Opt[rpdb.Scope]{}
	for words = words[1:]; len(words) > 0; {
		word := words[0]
		words = words[1:]
		takesValue := slices.Contains([]string{"dev", "local", "broadcast", "brd", "label", "scope"}, word)
		if takesValue && len(words) == 0 {
			return nil, fmt.Errorf("a value is missing behind %q", word)
		}
		switch {
		case word == "nodad":
			continue
		case !takesValue && text == "" && !strings.HasPrefix(word, "-"):
			text = word
			continue
		case !takesValue:
			return nil, fmt.Errorf("what %q does to an address is not understood", word)
		case word == "dev":
			name = words[0]
		case word == "local":
			text = words[0]
		case word == "scope":
			v, ok := s.Names.ScopeByName(words[0])
			if !ok {
				return nil, fmt.Errorf("no scope is known by the name %q", words[0])
			}
			scope = rpdb.Some(v)
		}
		words = words[1:]
	}
	prefix, err := ParseAddress(text)
	switch {
	case err != nil:
		return nil, err
	case f != 0 && rpdb.FamilyOf(prefix.Addr()) != f:
		return nil, fmt.Errorf("%v is no address of %v", prefix, f)
	case name == "":
		return nil, errors.New("an address needs an interface: dev NAME")
	}
	a := NewAddress(format.Link(&s.Snapshot, rpdb.LinkName(name)), prefix)
	if v, ok := scope.Get(); ok {
		a.Scope = v
	}
	return nil, s.AddAddress(a)
}

// AddAddress adds an address, which must not be there.
func (s *Setup) AddAddress(a rpdb.Address) error {
	same := func(o rpdb.Address) bool { return o.Link == a.Link && o.Prefix == a.Prefix }
	if slices.ContainsFunc(s.Snapshot.Addresses, same) {
		return ErrThere
	}
	s.Snapshot.Addresses = append(s.Snapshot.Addresses, a)
	return nil
}

// ParseAddress reads an address with or without the length of its network; one
// without is alone in it.
func ParseAddress(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return p, fmt.Errorf("%q is no address with the length of its network", text)
		}
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is no address", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// NewAddress returns an address without a life time, with the scope that ip and
// the kernel give to one without.
func NewAddress(link rpdb.LinkIndex, p netip.Prefix) rpdb.Address {
	a := rpdb.Address{Link: link, Prefix: p, Flags: rpdb.AddressPermanent}
	switch {
	case p.Addr().IsLoopback():
		a.Scope = rpdb.ScopeHost
	case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast():
		a.Scope = rpdb.ScopeLink
	}
	return a
}

// link runs the words after "ip link": set, an interface and what cannot matter to
// routing, since here all interfaces are up.
func (s *Setup) link(_ rpdb.Family, words []string) ([]rpdb.Change, error) {
	refused := errors.New("only ip link set NAME up, mtu N and txqueuelen N are understood")
	if len(words) < 3 || !slices.Contains([]string{"set", "s"}, words[0]) {
		return nil, refused
	}
	words = words[1:]
	if words[0] == "dev" {
		words = words[1:]
	}
	name := words[0]
	if len(words) < 2 {
		return nil, refused
	}
	for words = words[1:]; len(words) > 0; {
		switch {
		case words[0] == "up":
			words = words[1:]
		case len(words) > 1 && words[0] == "dev":
			name, words = words[1], words[2:]
		case len(words) > 1 && (words[0] == "mtu" || words[0] == "txqueuelen"):
			words = words[2:]
		default:
			return nil, refused
		}
	}
	format.Link(&s.Snapshot, rpdb.LinkName(name))
	return nil, nil
}
