package ifupdown

import (
	"fmt"
	"strings"

	"rpdb"
	"rpdb/format"
	"rpdb/format/iproute2"
)

// HookPath is the file with what hangs on leases: dhclient-script(8) reads it after
// each change of one.
const HookPath = "/etc/dhcp/dhclient-exit-hooks.d/rpdb-export"

const hookHead = `# Rules and routes that hang on leases of DHCP, for dhclient-script(8), which
# reads this file after each change of a lease. Other clients do not. What is
# beside it for ifupdown is in ` + Path + `.
`

// hooks writes what hangs on the leases of DHCP.
func (w *writer) hooks(leases []format.Lease) string {
	var b strings.Builder
	for _, l := range leases {
		name := w.snapshot.LinkName(l.Link)
		left := format.Lease{Link: l.Link, Family: l.Family} // what cannot be said
		var adds, dels []string
		for _, r := range l.Routes {
			if l.Family != rpdb.IPv4 || !isPlainLinkName(name) || !leadsToGateway(r) {
				left.Routes = append(left.Routes, r)
				continue
			}
			command := iproute2.RouteCommand(rpdb.Replace, r, iproute2.RouteView{LinkName: w.snapshot.LinkName})
			adds = append(adds, strings.Replace(command, "via "+r.Nexthops[0].Via.String(), `via "$gateway"`, 1))
			dels = append(dels, fmt.Sprintf("ip -4 route flush default table %d dev %s proto static 2>/dev/null", r.Table, name))
		}
		gateways := len(adds)
		for _, r := range l.Rules {
			if l.Family != rpdb.IPv4 || !isPlainLinkName(name) || !selectsByAddress(r) {
				left.Rules = append(left.Rules, r)
				continue
			}
			r.Protocol = Protocol
			command := iproute2.RuleCommand(rpdb.Add, r, rpdb.Names{})
			adds = append(adds, strings.Replace(command, "from "+r.Selector.From.Addr().String(), `from "$new_ip_address"`, 1)+" 2>/dev/null || :")
			dels = append(dels, fmt.Sprintf("while ip -4 rule del pref %d protocol %d 2>/dev/null; do :; done", r.Priority, Protocol))
		}
		for _, loss := range iproute2.LeaseLosses(w.snapshot, rpdb.Names{}, []format.Lease{left}, "ifupdown", nil) {
			w.losses = append(w.losses, format.Loss{Object: loss.Object[len("ip "):], Reason: loss.Reason})
		}
		if len(adds) > 0 {
			b.WriteString(hook(name, adds[:gateways], adds[gateways:], dels[:gateways], dels[gateways:]))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return hookHead + b.String()
}

// hook is what is done for one interface. A lease that is renewed with its address
// changes no rule; the commands that add one say nothing of one that is there.
func hook(link rpdb.LinkName, routes, rules, delRoutes, delRules []string) string {
	var b strings.Builder
	lines := func(indent string, list []string) {
		for _, line := range list {
			b.WriteString(indent + line + "\n")
		}
	}
	fmt.Fprintf(&b, "\nif [ \"$interface\" = %s ]; then\n    case $reason in\n    BOUND|RENEW|REBIND|REBOOT|TIMEOUT)\n", link)
	if len(routes) > 0 {
		b.WriteString(gatewayLines(link))
		b.WriteString("        if [ -n \"$gateway\" ]; then\n")
		lines("            ", routes)
		b.WriteString("        else\n")
		lines("            ", delRoutes)
		b.WriteString("        fi\n")
	}
	if len(rules) > 0 {
		b.WriteString("        if [ \"$old_ip_address\" != \"$new_ip_address\" ]; then\n")
		lines("            ", delRules)
		b.WriteString("        fi\n")
		lines("        ", rules)
	}
	b.WriteString("        ;;\n    EXPIRE|FAIL|RELEASE|STOP)\n")
	lines("        ", delRules)
	lines("        ", delRoutes)
	b.WriteString("        ;;\n    esac\nfi\n")
	return b.String()
}

// gatewayLines find the gateway: the first router of a lease, and if it has routes of
// RFC 3442, which count instead, the one that their hook has made a default of.
func gatewayLines(link rpdb.LinkName) string {
	return fmt.Sprintf(`        gateway=${new_routers%%%% *}
        if [ -n "$new_rfc3442_classless_static_routes" ]; then
            gateway=$(ip -4 route show default dev %s | sed -n 's/^default via \([0-9.]*\).*/\1/p;q')
        fi
`, link)
}

// leadsToGateway reports whether a route is nothing but a default route by one
// gateway.
func leadsToGateway(r rpdb.Route) bool {
	plain := rpdb.Route{Family: r.Family, Table: r.Table, Dst: r.Family.Default(), Type: rpdb.RouteUnicast, Protocol: rpdb.ProtocolStatic, Nexthops: r.Nexthops}
	return len(r.Nexthops) == 1 && r.Nexthops[0].Via.IsValid() && r.Equal(plain)
}

// selectsByAddress reports whether a rule selects by a source address and nothing
// else.
func selectsByAddress(r rpdb.Rule) bool {
	return r.Selector.From.IsSingleIP() && r.Selector == rpdb.Selector{From: r.Selector.From}
}
