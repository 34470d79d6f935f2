package cli

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"rpdb"
	"rpdb/kernel"
)

// completionTime bounds how long a press of the key may take to read the host.
// A router with a full table offers its interfaces, and fewer tables.
const completionTime = 400 * time.Millisecond

// hostOffers offers the values of keywords as they are on one host. What cannot
// be read is not offered: completion never fails.
type hostOffers struct {
	*offers
	a     *app
	names rpdb.Names
	ctx   context.Context
	state *rpdb.Snapshot // from a file, nil for this host
}

func (a *app) newOffers(ctx context.Context, begun string) *hostOffers {
	v := &hostOffers{offers: &offers{begun: begun}, a: a, names: a.loadNames(), ctx: ctx}
	if !a.fromFile() {
		return v
	}
	v.state = &rpdb.Snapshot{}
	// Nothing else than a file may be read before the command itself is run.
	if info, err := os.Stat(a.snapshot + a.fromText); err == nil && info.Mode().IsRegular() {
		here := *a
		here.Err = io.Discard // where there is something to say of a text
		if s, err := here.fileState(context.Background()); err == nil {
			v.state = s
		}
	}
	return v
}

// namespaces lists the network namespaces that have a name.
func namespaces() []string {
	entries, _ := os.ReadDir("/run/netns")
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// localAddress is an address of the host.
type localAddress struct {
	link   rpdb.LinkName
	prefix netip.Prefix
}

// links returns the interfaces of the host, and its addresses.
func (v *hostOffers) links() (links []rpdb.LinkName, addresses []localAddress) {
	if v.state != nil {
		for _, l := range v.state.Links {
			links = append(links, l.Name)
		}
		for _, a := range v.state.Addresses {
			addresses = append(addresses, localAddress{v.state.LinkName(a.Link), a.Prefix})
		}
		return links, addresses
	}
	// Rules need only a few of the things that a snapshot reads.
	read := func() error {
		found, err := net.Interfaces()
		for _, l := range found {
			links = append(links, rpdb.LinkName(l.Name))
			addrs, _ := l.Addrs()
			for _, a := range addrs {
				if p, err := netip.ParsePrefix(a.String()); err == nil {
					addresses = append(addresses, localAddress{rpdb.LinkName(l.Name), p})
				}
			}
		}
		return err
	}
	if v.a.netns == "" {
		_ = read()
		return links, addresses
	}
	if ns, err := kernel.OpenNetNS(v.a.netns); err == nil {
		defer ns.Close()
		_ = ns.Do(read)
	}
	return links, addresses
}

// rules returns the rules of a family, 0 for both.
func (v *hostOffers) rules(f rpdb.Family) []rpdb.Rule {
	var list []rpdb.Rule
	if v.state != nil {
		list = v.state.Rules
	} else if conn, err := v.a.open(); err == nil {
		defer conn.Close()
		ctx, cancel := context.WithTimeout(v.ctx, completionTime)
		defer cancel()
		for _, family := range rpdb.Families() {
			rules, _ := conn.Rules(ctx, family)
			list = append(list, rules...)
		}
	}
	list = slices.Clone(list)
	return slices.DeleteFunc(list, func(r rpdb.Rule) bool { return f != 0 && r.Family != f })
}

// addLinks offers the interfaces, with their addresses.
func (v *hostOffers) addLinks() {
	links, addresses := v.links()
	for _, name := range links {
		var about []string
		for _, a := range addresses {
			if a.link == name {
				about = append(about, a.prefix.String())
			}
		}
		v.add(string(name), strings.Join(about, " "))
	}
}

// addAddresses offers the host's addresses of a family, 0 for both, alone or
// also as the networks that they are in.
func (v *hostOffers) addAddresses(f rpdb.Family, networks bool) {
	_, addresses := v.links()
	for _, a := range addresses {
		if f == 0 || rpdb.FamilyOf(a.prefix.Addr()) == f {
			v.add(a.prefix.Addr().String(), string(a.link))
		}
	}
	for _, a := range addresses {
		if networks && !a.prefix.IsSingleIP() && (f == 0 || rpdb.FamilyOf(a.prefix.Addr()) == f) {
			v.add(a.prefix.Masked().String(), "network of "+string(a.link))
		}
	}
}
