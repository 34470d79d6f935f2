package ifupdown

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
)

// isKnown reports whether an option is understood, or cannot matter to routing.
func isKnown(s stanza, key string) bool {
	switch {
	case slices.Contains([]string{"pre-up", "up", "post-up", "down", "pre-down", "post-down"}, key):
		return true
	case slices.Contains([]string{"address", "netmask", "gateway", "metric", "scope"}, key):
		return s.method == "static"
	}
	for _, prefix := range []string{"dns-", "bridge_", "bridge-", "bond-", "bond_", "vlan-", "vlan_", "wpa-", "wireless-", "ethernet-", "hardware-", "offload-"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"broadcast", "network", "hwaddress", "mtu", "hostname", "client", "vendor", "leasehours", "leasetime", "dad-attempts",
		"dad-interval", "accept_ra", "autoconf", "privext", "request_prefix", "ll-attempts", "ll-interval", "description", "media", "dhcp",
	}, key)
}

// method does what the method of a stanza does: of those that are understood, only
// static says what that is.
func (r *reader) method(s stanza) {
	if s.method != "static" {
		return
	}
	address, ok := s.option("address")
	if !ok {
		r.fail(s.line, "iface", string(s.link), "the method static needs an address")
		return
	}
	prefix, err := s.prefix(address.value)
	if err != nil {
		r.fail(address.line, "address", address.value, err.Error())
		return
	}
	a := iproute2.NewAddress(format.Link(&r.setup.Snapshot, s.link), prefix)
	if o, ok := s.option("scope"); ok {
		if a.Scope, ok = r.setup.Names.ScopeByName(o.value); !ok {
			r.fail(o.line, "scope", o.value, "no scope has this name")
		}
	}
	if err := r.setup.AddAddress(a); err != nil {
		r.fail(address.line, "address", address.value, err.Error())
	}
	r.gateway(s)
}

// option returns the last line with a key, which is the one that counts.
func (s stanza) option(key string) (last option, ok bool) {
	for _, o := range s.options {
		if o.key == key {
			last, ok = o, true
		}
	}
	return last, ok
}

// prefix is the address of a stanza with its network, whose length may stand in an
// option of its own.
func (s stanza) prefix(text string) (netip.Prefix, error) {
	mask, ok := s.option("netmask")
	if ok && !strings.Contains(text, "/") {
		text += "/" + maskLength(mask.value)
	}
	p, err := iproute2.ParseAddress(text)
	if err == nil && rpdb.FamilyOf(p.Addr()) != s.family {
		err = fmt.Errorf("it is no address of %v", s.family)
	}
	if err == nil && !ok && !strings.Contains(text, "/") {
		err = fmt.Errorf("the length of its network is missing")
	}
	return p, err
}

// maskLength returns the length of a mask such as 255.255.255.0, and anything else
// as it is.
func maskLength(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return text
	}
	b := a.As4()
	mask := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	length := 0
	for ; mask&(1<<31) != 0; mask <<= 1 {
		length++
	}
	if mask != 0 {
		return text
	}
	return strconv.Itoa(length)
}

// gateway adds the default route of a stanza, as ifupdown does: with onlink, and
// for IPv6 in the place of one that is there.
func (r *reader) gateway(s stanza) {
	gateway, ok := s.option("gateway")
	if !ok {
		return
	}
	verb := "add"
	if s.family == rpdb.IPv6 {
		verb = "replace"
	}
	words := []string{"route", verb, "default", "via", gateway.value}
	if metric, ok := s.option("metric"); ok {
		words = append(words, "metric", metric.value)
	}
	words = append(words, "dev", string(s.link), "onlink")
	changes, err := r.setup.Run(s.family, words)
	if err != nil {
		r.fail(gateway.line, "gateway", gateway.value, err.Error())
	}
	r.note(s.link, changes)
}
