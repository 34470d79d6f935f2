package bundle

import (
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iptext"
)

// readSettings takes a section of settings; of a key that is told twice the last
// value counts.
func (b *builder) readSettings(s iptext.Section) error {
	list, err := s.Settings()
	if err != nil {
		return err
	}
	for _, v := range list {
		if isRead(v.Name) {
			if _, err := v.Number(1<<32 - 1); err != nil {
				return err
			}
		}
		b.settings[v.Name] = v
	}
	return nil
}

// isRead reports whether a setting decides something.
func isRead(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) == 4 && parts[1] == "conf" {
		return slices.ContainsFunc(linkSettings(), func(s linkSetting) bool { return s.family == parts[0] && s.key == parts[3] })
	}
	switch name {
	case "ipv4/ip_forward", "ipv4/fib_multipath_hash_policy", "ipv6/fib_multipath_hash_policy", "ipv4/fib_multipath_hash_seed",
		"ipv4/fib_multipath_use_neigh", "ipv4/fwmark_reflect", "ipv6/fwmark_reflect", "ipv4/tcp_fwmark_accept":
		return true
	}
	return false
}

// linkSetting is a setting that each interface has.
type linkSetting struct {
	bit         rpdb.Settings
	family, key string
	set         func(*rpdb.LinkSysctls, uint64)
}

func linkSettings() []linkSetting {
	return []linkSetting{
		{rpdb.SettingForwarding4, "ipv4", "forwarding", func(c *rpdb.LinkSysctls, n uint64) { c.Forwarding4 = n != 0 }},
		{rpdb.SettingForwarding6, "ipv6", "forwarding", func(c *rpdb.LinkSysctls, n uint64) { c.Forwarding6 = n != 0 }},
		{rpdb.SettingRPFilter, "ipv4", "rp_filter", func(c *rpdb.LinkSysctls, n uint64) { c.RPFilter = uint8(min(n, 255)) }},
		{rpdb.SettingSrcValidMark, "ipv4", "src_valid_mark", func(c *rpdb.LinkSysctls, n uint64) { c.SrcValidMark = n != 0 }},
		{rpdb.SettingAcceptLocal, "ipv4", "accept_local", func(c *rpdb.LinkSysctls, n uint64) { c.AcceptLocal = n != 0 }},
		{rpdb.SettingRouteLocalnet, "ipv4", "route_localnet", func(c *rpdb.LinkSysctls, n uint64) { c.RouteLocalnet = n != 0 }},
		{rpdb.SettingIgnoreLinkdown4, "ipv4", "ignore_routes_with_linkdown", func(c *rpdb.LinkSysctls, n uint64) { c.IgnoreLinkdown4 = n != 0 }},
		{rpdb.SettingIgnoreLinkdown6, "ipv6", "ignore_routes_with_linkdown", func(c *rpdb.LinkSysctls, n uint64) { c.IgnoreLinkdown6 = n != 0 }},
		{rpdb.SettingDisableIPv6, "ipv6", "disable_ipv6", func(c *rpdb.LinkSysctls, n uint64) { c.DisableIPv6 = n != 0 }},
		{rpdb.SettingSendRedirects, "ipv4", "send_redirects", func(c *rpdb.LinkSysctls, n uint64) { c.NoSendRedirects = n == 0 }},
	}
}

// number returns the value of a setting.
func (b *builder) number(name string) (uint64, bool) {
	v, ok := b.settings[name]
	n, _ := v.Number(1<<32 - 1) // was checked
	return n, ok
}

func (b *builder) on(name string) bool {
	n, _ := b.number(name)
	return n != 0
}

// isWhole reports whether all settings were listed: then one that is absent is
// one that the kernel does not have.
func (b *builder) isWhole() bool {
	for _, key := range []string{"ipv4/conf/all/arp_ignore", "ipv4/icmp_echo_ignore_all", "ipv4/tcp_rmem"} {
		if _, ok := b.settings[key]; !ok {
			return false
		}
	}
	return true
}

// finishSettings puts the settings into the snapshot. Those that are not told
// are unknown, one by one.
func (b *builder) finishSettings() {
	b.whole = b.isWhole()
	forward, told := b.number("ipv4/ip_forward")
	policy4, _ := b.number("ipv4/fib_multipath_hash_policy")
	policy6, _ := b.number("ipv6/fib_multipath_hash_policy")
	seed, _ := b.number("ipv4/fib_multipath_hash_seed")
	b.snap.Sysctls = rpdb.Sysctls{
		IPv4Forward: forward != 0, IPv6Forward: b.on("ipv6/conf/all/forwarding"),
		HashPolicy4: uint8(policy4), HashPolicy6: uint8(policy6), HashSeed: uint32(seed),
		UseNeigh: b.on("ipv4/fib_multipath_use_neigh"), ReflectMark4: b.on("ipv4/fwmark_reflect"), ReflectMark6: b.on("ipv6/fwmark_reflect"),
		TCPMarkAccept: b.on("ipv4/tcp_fwmark_accept"), Links: map[rpdb.LinkName]rpdb.LinkSysctls{},
	}
	y := &b.snap.Sysctls
	y.All = b.linkConf("all")
	all := false
	for _, i := range b.indices() {
		name := b.links[i].Name
		c := b.linkConf(name)
		if told && c.Unknown.Has(rpdb.SettingForwarding4) {
			c.Forwarding4, c.Unknown, all = y.IPv4Forward, c.Unknown&^rpdb.SettingForwarding4, true
		}
		y.Links[name] = c
	}
	if all {
		b.assume("net.ipv4.ip_forward is %d, and forwarding of some interfaces is not told: taken to be the same, as it sets them all", forward)
	}
	b.saySettings()
}

// linkConf returns the settings of an interface, or of conf.all.
func (b *builder) linkConf(name rpdb.LinkName) rpdb.LinkSysctls {
	var c rpdb.LinkSysctls
	for _, s := range linkSettings() {
		n, ok := b.number(s.family + "/conf/" + string(name) + "/" + s.key)
		if s.set(&c, n); !ok && !b.whole {
			c.Unknown |= s.bit
		}
	}
	return c
}

// saySettings says which settings are not known.
func (b *builder) saySettings() {
	if len(b.settings) == 0 {
		b.assume("no settings (sysctl -a): what depends on forwarding, rp_filter, ignore_routes_with_linkdown and the like is unknown; " +
			"multipath hashes cannot be foreseen, and fib_multipath_use_neigh is taken to be off")
		return
	}
	unknown := b.snap.Sysctls.All.Unknown
	for _, c := range b.snap.Sysctls.Links {
		unknown |= c.Unknown
	}
	var words []string
	for _, s := range linkSettings() {
		if unknown.Has(s.bit) {
			words = append(words, "net."+s.family+".conf.*."+s.key)
		}
	}
	if len(words) > 0 {
		b.assume("not told (sysctl -a), of all interfaces or some: %s: what depends on them is unknown", strings.Join(words, ", "))
	}
	if _, ok := b.settings["ipv4/fib_multipath_use_neigh"]; !ok && !b.whole {
		b.assume("the settings of multipath routes are not told: hashes cannot be foreseen, and fib_multipath_use_neigh is taken to be off")
	}
}
