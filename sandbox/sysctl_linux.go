package sandbox

import (
	"fmt"

	"rpdb/kernel"
)

// setting is a kernel setting and its value.
type setting struct{ key, value string }

// set writes settings that have another value. In containers /proc/sys is
// often read-only, and most settings are right already.
func set(ns *kernel.NetNS, settings []setting) error {
	for _, s := range settings {
		if now, err := ns.Sysctl(s.key); err == nil && now == s.value {
			continue
		}
		if err := ns.SetSysctl(s.key, s.value); err != nil {
			return err
		}
	}
	return nil
}

// forEveryLink sets a per-interface setting for conf.all and for the
// interfaces that will be made.
func forEveryLink(family, name, value string) []setting {
	return []setting{
		{fmt.Sprintf("net.%s.conf.all.%s", family, name), value},
		{fmt.Sprintf("net.%s.conf.default.%s", family, name), value},
	}
}

// commonSettings are those of every namespace. A new one does not begin with
// the kernel's defaults, but with the values of the machine's first namespace
// (net.core.devconf_inherit_init_net). IPv6 addresses are to be there at once
// and to be ours alone: no duplicate address detection, no link-local address
// but the one given, nothing from router advertisements.
func commonSettings(forward bool, rpFilter uint8) []setting {
	forwarding := "0"
	if forward {
		forwarding = "1"
	}
	all := []setting{ // first: the kernel resets others with these
		{"net.ipv4.ip_forward", forwarding},
		{"net.ipv6.conf.all.forwarding", forwarding},
		{"net.ipv6.conf.default.forwarding", forwarding},
		{"net.ipv6.conf.default.addr_gen_mode", "1"},
	}
	all = append(all, forEveryLink("ipv4", "rp_filter", fmt.Sprint(rpFilter))...)
	for _, off := range []string{
		"accept_local", "src_valid_mark", "route_localnet", "ignore_routes_with_linkdown",
		"arp_ignore", "arp_announce", "arp_filter", "send_redirects", "accept_redirects",
	} {
		all = append(all, forEveryLink("ipv4", off, "0")...)
	}
	for _, off := range []string{
		"disable_ipv6", "accept_ra", "accept_dad", "dad_transmits", "accept_redirects",
		"ignore_routes_with_linkdown", "keep_addr_on_down",
	} {
		all = append(all, forEveryLink("ipv6", off, "0")...)
	}
	for _, off := range []string{
		"net.ipv4.fwmark_reflect", "net.ipv6.fwmark_reflect", "net.ipv4.tcp_fwmark_accept",
		"net.ipv4.icmp_echo_ignore_all", "net.ipv6.icmp.echo_ignore_all", "net.ipv4.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind",
	} {
		all = append(all, setting{off, "0"})
	}
	return all
}
