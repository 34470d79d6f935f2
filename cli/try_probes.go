package cli

import (
	"fmt"
	"net/netip"
	"slices"

	"rpdb"
	"rpdb/policy"
	"rpdb/sandbox"
)

// namedProbe is a probe, the row of the table that it belongs to, and whether
// a policy that works must have it answered.
type namedProbe struct {
	name     string
	probe    sandbox.Probe
	required bool
	// rule is the one of the policy that forwarded packets are to try, and elsewhere
	// says that the engine has another one decide; "" for packets of the host.
	rule      string
	elsewhere bool
}

// trySpec says which host to build for a policy: its uplinks, and as tunnels
// the other interfaces that its tables lead to or its rules name.
func trySpec(doc *policy.Document) sandbox.Spec {
	var spec sandbox.Spec
	uplinks := map[rpdb.LinkName]bool{"lo": true}
	for _, u := range doc.Uplinks {
		uplinks[u.Interface] = true
		spec.Uplinks = append(spec.Uplinks, tryUplink(u))
	}
	natSpec(doc, &spec)
	for _, e := range spec.Extra {
		uplinks[e.Link] = true
	}
	for _, name := range doc.Interfaces() {
		if !uplinks[name] {
			spec.Extra = append(spec.Extra, sandbox.Extra{Link: name, Gateways: gatewaysBy(doc, name)})
		}
	}
	for _, t := range doc.Tables {
		for _, r := range t.Routes {
			if r.To.IsValid() {
				spec.Avoid = append(spec.Avoid, r.To)
			}
		}
	}
	for _, r := range doc.Rules {
		if to := r.Selector.To; to.IsValid() && to.Bits() > 0 {
			spec.Avoid = append(spec.Avoid, to)
			if a := inside(to); canBeOutside(spec, a) {
				spec.Outside = append(spec.Outside, a)
			}
		}
	}
	return spec
}

// tryUplink is an uplink of the host to build. What the host learns by DHCP or
// router advertisement, that world makes up.
func tryUplink(u policy.Uplink) sandbox.Uplink {
	out := sandbox.Uplink{Name: u.Name, Link: u.Interface, Onlink: u.Onlink, Addresses: values(u.Addresses)}
	for _, g := range u.Gateways {
		if g.Value.IsAuto() {
			out.Learned = append(out.Learned, g.Value.Family)
		} else {
			out.Gateways = append(out.Gateways, g.Value.Addr)
		}
	}
	return out
}

// canBeOutside reports whether the outside world can have an address: a
// unicast one in no block and no network of an uplink. An uplink without an address gets
// one of the gateway's /24 or /64.
func canBeOutside(spec sandbox.Spec, a netip.Addr) bool {
	if !a.IsGlobalUnicast() {
		return false
	}
	bits := map[rpdb.Family]int{rpdb.IPv4: 24, rpdb.IPv6: 64}
	for _, u := range spec.Uplinks {
		networks := slices.Clone(u.Addresses)
		for _, gw := range u.Gateways {
			networks = append(networks, netip.PrefixFrom(gw, bits[rpdb.FamilyOf(gw)]))
		}
		for _, n := range slices.Concat(networks, u.Routed) {
			if n.Masked().Contains(a) {
				return false
			}
		}
	}
	_, behind := behindLink(spec, singlePrefix(a))
	return !behind
}

func values[T any](located []policy.Located[T]) []T {
	var out []T
	for _, l := range located {
		out = append(out, l.Value)
	}
	return out
}

// gatewaysBy returns the gateways that a policy's routes use by an interface.
func gatewaysBy(doc *policy.Document, link rpdb.LinkName) []netip.Addr {
	var gateways []netip.Addr
	for _, t := range doc.Tables {
		for _, r := range t.Routes {
			for _, h := range r.Hops {
				if h.Dev == link && h.Via.IsSet() && !slices.Contains(gateways, h.Via.Value) {
					gateways = append(gateways, h.Via.Value)
				}
			}
		}
	}
	return gateways
}

// inside returns an address of a prefix that can stand for it: the last but
// one, which is neither network nor broadcast where there is a choice.
func inside(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr()
	if p.Bits() == a.BitLen() {
		return a
	}
	b := a.AsSlice()
	for i := p.Bits(); i < a.BitLen()-1; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// standardProbes names the probes that every host is tried with.
func standardProbes(w *sandbox.World) []namedProbe {
	var named []namedProbe
	for _, p := range w.Probes() {
		required := p.Direction == sandbox.Inbound || p.Local.IsValid()
		named = append(named, namedProbe{name: probeName(p), probe: p, required: required})
	}
	return named
}

func inboundOnly(probes []namedProbe) []namedProbe {
	return slices.DeleteFunc(probes, func(p namedProbe) bool { return p.probe.Direction != sandbox.Inbound })
}

// probeName says what a standard probe stands for, the same for TCP, UDP and
// ping.
func probeName(p sandbox.Probe) string {
	switch {
	case p.Direction == sandbox.Inbound:
		return fmt.Sprintf("outside -> %v by %s", p.Local, p.Uplink)
	case p.Device != "":
		return fmt.Sprintf("device %s -> outside (%v)", p.Device, p.Family)
	case p.Local.IsValid():
		return fmt.Sprintf("%v -> outside", p.Local)
	}
	return fmt.Sprintf("unbound -> outside (%v)", p.Family)
}
