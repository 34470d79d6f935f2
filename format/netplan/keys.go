package netplan

// definitionKinds are the keys of network that hold definitions of interfaces.
func definitionKinds() []string {
	return []string{
		"bonds", "bridges", "dummy-devices", "ethernets", "modems", "nm-devices", "tunnels", "virtual-ethernets", "vlans", "vrfs", "wifis",
	}
}

// overrideKeys are the keys of dhcp4-overrides and dhcp6-overrides. None says
// which table the routes of a lease go to, for which netplan has no word.
func overrideKeys() []string {
	return []string{
		"hostname", "route-metric", "send-hostname", "use-dns", "use-domains", "use-hostname", "use-mtu", "use-ntp", "use-routes",
	}
}

// otherKeys are the keys of a definition that say nothing of static addresses,
// routes or rules.
func otherKeys() []string {
	return []string{
		"accept-ra", "access-points", "apn", "auth", "auto-config", "critical", "delay-virtual-functions-rebind",
		"device-id", "dhcp-identifier", "dhcp4", "dhcp6", "embedded-switch-mode",
		"emit-lldp", "generic-receive-offload", "generic-segmentation-offload", "hairpin", "id", "ignore-carrier",
		"infiniband-mode", "interfaces", "ipv6-address-generation", "ipv6-address-token", "ipv6-mtu", "ipv6-privacy", "key",
		"keys", "large-receive-offload", "link", "link-local", "local", "macaddress", "mac-learning", "mark", "mode", "mtu",
		"nameservers", "neigh-suppress", "network-id", "networkmanager", "number", "openvswitch", "optional",
		"optional-addresses", "parameters", "password", "peer", "peers", "pin", "port", "port-mac-learning",
		"receive-checksum-offload", "regulatory-domain", "remote", "renderer", "set-name", "sim-id", "sim-operator-id",
		"tcp-segmentation-offload", "tcp6-segmentation-offload", "transmit-checksum-offload", "ttl", "username",
		"virtual-function-count", "wakeonlan", "wakeonwlan",
	}
}
