package kerneltest

import (
	"strconv"
	"strings"
	"syscall"

	"rpdb"
)

// defaults are the settings of a new interface: those of conf.default, which
// are kept under that name.
func (m *Memory) defaults() rpdb.LinkSysctls {
	var s rpdb.LinkSysctls
	for _, name := range linkKeys() {
		if v, ok := m.otherKeys["default."+name]; ok {
			n, _ := strconv.ParseUint(v, 0, 32) // it was a number when it was set
			setLinkKey(&s, name, uint32(n))
		}
	}
	return s
}

// linkKeys lists the settings of an interface, with their family.
func linkKeys() []string {
	return []string{
		"ipv4.forwarding", "ipv4.rp_filter", "ipv4.src_valid_mark", "ipv4.accept_local", "ipv4.route_localnet",
		"ipv4.ignore_routes_with_linkdown", "ipv6.forwarding", "ipv6.ignore_routes_with_linkdown", "ipv6.disable_ipv6", "ipv4.send_redirects",
	}
}

func setLinkKey(s *rpdb.LinkSysctls, key string, v uint32) bool {
	on := v != 0
	switch key {
	case "ipv4.forwarding":
		s.Forwarding4 = on
	case "ipv4.rp_filter":
		s.RPFilter = uint8(v)
	case "ipv4.src_valid_mark":
		s.SrcValidMark = on
	case "ipv4.accept_local":
		s.AcceptLocal = on
	case "ipv4.route_localnet":
		s.RouteLocalnet = on
	case "ipv4.ignore_routes_with_linkdown":
		s.IgnoreLinkdown4 = on
	case "ipv6.forwarding":
		s.Forwarding6 = on
	case "ipv6.ignore_routes_with_linkdown":
		s.IgnoreLinkdown6 = on
	case "ipv6.disable_ipv6":
		s.DisableIPv6 = on
	case "ipv4.send_redirects":
		s.NoSendRedirects = !on
	default:
		return false
	}
	return true
}

// SetSysctl changes a setting, as [kernel.NetNS.SetSysctl]. Settings on which
// routing does not depend are kept and do nothing.
func (m *Memory) SetSysctl(key, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return opError("set", key, m.setSysctl(key, value))
}

func (m *Memory) setSysctl(key, value string) error {
	if !strings.HasPrefix(key, "net.") {
		return syscall.ENOENT
	}
	n, err := strconv.ParseUint(value, 0, 32)
	if err != nil {
		return syscall.EINVAL
	}
	v := uint32(n)
	for _, f := range []string{"ipv4", "ipv6"} {
		rest, isConf := strings.CutPrefix(key, "net."+f+".conf.")
		if !isConf {
			continue
		}
		i := strings.LastIndexByte(rest, '.')
		if i < 0 {
			return syscall.ENOENT
		}
		return m.setConf(rest[:i], f+"."+rest[i+1:], v)
	}
	return m.setGlobal(key, v)
}

func (m *Memory) setGlobal(key string, v uint32) error {
	s, on := &m.sysctls, v != 0
	switch key {
	case "net.ipv4.ip_forward":
		return m.setConf("all", "ipv4.forwarding", v)
	case "net.ipv4.fib_multipath_hash_policy":
		s.HashPolicy4 = uint8(v)
	case "net.ipv6.fib_multipath_hash_policy":
		s.HashPolicy6 = uint8(v)
	case "net.ipv4.fib_multipath_hash_seed":
		s.HashSeed = v
	case "net.ipv4.fib_multipath_use_neigh":
		s.UseNeigh = on
	case "net.ipv4.fwmark_reflect":
		s.ReflectMark4 = on
	case "net.ipv6.fwmark_reflect":
		s.ReflectMark6 = on
	case "net.ipv4.tcp_fwmark_accept":
		s.TCPMarkAccept = on
	default:
		m.otherKeys[key] = strconv.FormatUint(uint64(v), 10)
	}
	return nil
}

// setConf changes a setting of an interface, of all or of the default. All
// forwarding and disable_ipv6 are copied to every interface.
func (m *Memory) setConf(name, key string, v uint32) error {
	if name == "default" {
		m.otherKeys["default."+key] = strconv.FormatUint(uint64(v), 10)
		return nil
	}
	if name != "all" {
		l := m.linkByName(rpdb.LinkName(name))
		if l == nil {
			return syscall.ENOENT
		}
		m.setOne(*l, key, v)
		return nil
	}
	setLinkKey(&m.sysctls.All, key, v)
	switch key {
	case "ipv4.forwarding":
		m.sysctls.IPv4Forward = v != 0
	case "ipv6.forwarding":
		m.sysctls.IPv6Forward = v != 0
	case "ipv6.disable_ipv6":
	default:
		return nil
	}
	m.otherKeys["default."+key] = strconv.FormatUint(uint64(v), 10)
	for _, l := range m.links {
		m.setOne(l, key, v)
	}
	return nil
}

func (m *Memory) setOne(l memoryLink, key string, v uint32) {
	s := m.sysctls.Links[l.Name]
	before := s
	setLinkKey(&s, key, v)
	m.sysctls.Links[l.Name] = s
	switch {
	case s.DisableIPv6 && !before.DisableIPv6:
		m.stop6(l)
	case !s.DisableIPv6 && before.DisableIPv6 && l.HasCarrier():
		m.start6(l)
	case s.Forwarding6 && !before.Forwarding6:
		for _, a := range m.addressesOf(rpdb.IPv6, l.Index) {
			m.addAnycast(a)
		}
	case !s.Forwarding6 && before.Forwarding6:
		m.dropRoutes(l.Index, func(r rpdb.Route) bool { return r.Family == rpdb.IPv4 || r.Type != rpdb.RouteAnycast })
	}
}

// stop6 takes IPv6 off a link.
func (m *Memory) stop6(l memoryLink) {
	m.dropRoutes(l.Index, func(r rpdb.Route) bool { return r.Family == rpdb.IPv4 })
	for _, a := range m.addressesOf(rpdb.IPv6, l.Index) {
		m.removeAddress(a)
	}
}
