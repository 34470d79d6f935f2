package networkd

// matchKeys are the keys of [Match].
func matchKeys() []string {
	return []string{
		"Architecture", "BSSID", "Credential", "Driver", "Firmware", "Host", "KernelCommandLine", "KernelVersion", "Kind",
		"MACAddress", "Name", "Path", "PermanentMACAddress", "Property", "SSID", "Type", "Virtualization", "WLANInterfaceType",
	}
}

// conditions are those of [Match] that ask for something else than the interface:
// whether networkd reads the file at all on this machine.
func conditions() []string {
	return []string{"Architecture", "Credential", "Firmware", "Host", "KernelCommandLine", "KernelVersion", "Virtualization"}
}

// linkKeys are the keys of [Link] that say nothing of routes and rules.
func linkKeys() []string {
	return []string{
		"ARP", "AllMulticast", "MACAddress", "MTUBytes", "Multicast", "Promiscuous", "RequiredFamilyForOnline", "RequiredForOnline",
	}
}

// leaseSections are those that can name the table for the routes of a lease or of
// an advertisement.
func leaseSections() []string { return []string{"DHCP", "DHCPv4", "DHCPv6", "IPv6AcceptRA"} }

// networkKeys are the keys of [Network] that say nothing of static addresses,
// routes or rules.
func networkKeys() []string {
	return []string{
		"ActiveSlave", "BatmanAdvanced", "BindCarrier", "Bond", "Bridge", "ConfigureWithoutCarrier", "DHCP",
		"DHCPPrefixDelegation", "DHCPServer", "DHCPv6PrefixDelegation", "DNS", "DNSDefaultRoute", "DNSOverTLS", "DNSSEC",
		"DNSSECNegativeTrustAnchors", "Description", "Domains", "EmitLLDP", "IPForward", "IPMasquerade", "IPVLAN", "IPVTAP",
		"IPoIB", "IPv4AcceptLocal", "IPv4Forwarding", "IPv4LLRoute", "IPv4LLStartAddress", "IPv4ProxyARP",
		"IPv4ProxyARPPrivateVLAN", "IPv4ReversePathFilter", "IPv4RouteLocalnet", "IPv6AcceptRA",
		"IPv6DuplicateAddressDetection", "IPv6Forwarding", "IPv6HopLimit", "IPv6LinkLocalAddressGenerationMode",
		"IPv6MTUBytes", "IPv6PrivacyExtensions", "IPv6ProxyNDP", "IPv6ProxyNDPAddress", "IPv6RetransmissionTimeSec",
		"IPv6SendRA", "IPv6StableSecretAddress", "IgnoreCarrierLoss", "KeepConfiguration", "KeepMaster", "LLDP", "LLMNR",
		"LinkLocalAddressing", "MACVLAN", "MACVTAP", "MACsec", "MPLSRouting", "MulticastDNS", "MulticastIGMPVersion", "NTP",
		"PrimarySlave", "Tunnel", "UseDomains", "VLAN", "VXLAN", "Xfrm",
	}
}

// otherSections are the sections of a .network file that say nothing of static
// addresses, routes or rules.
func otherSections() []string {
	return []string{
		"BFIFO", "BandMultiQueueing", "Bridge", "BridgeFDB", "BridgeMDB", "BridgeVLAN", "CAKE", "CAN",
		"ClassfulMultiQueueing", "ControlledDelay", "DHCP", "DHCPPrefixDelegation", "DHCPServer", "DHCPServerStaticLease",
		"DHCPv4", "DHCPv6", "DHCPv6PrefixDelegation", "DeficitRoundRobinScheduler", "DeficitRoundRobinSchedulerClass",
		"EnhancedTransmissionSelection", "FairQueueing", "FairQueueingControlledDelay", "FlowQueuePIE",
		"GenericRandomEarlyDetection", "HeavyHitterFilter", "HierarchyTokenBucket", "HierarchyTokenBucketClass",
		"IPoIB", "IPv6AcceptRA", "IPv6AddressLabel", "IPv6PREF64Prefix", "IPv6Prefix", "IPv6RoutePrefix", "IPv6SendRA",
		"LLDP", "Neighbor", "NetworkEmulator", "PFIFO", "PFIFOFast", "PFIFOHeadDrop", "PIE", "QDisc", "QuickFairQueueing",
		"QuickFairQueueingClass", "SR-IOV", "StochasticFairBlue", "StochasticFairnessQueueing", "TokenBucketFilter",
		"TrivialLinkEqualizer",
	}
}

// managerKeys are the keys of [Network] of networkd.conf that do not name
// tables.
func managerKeys() []string {
	return []string{
		"IPv4Forwarding", "IPv6Forwarding", "IPv6PrivacyExtensions", "ManageForeignNextHops", "ManageForeignRoutes",
		"ManageForeignRoutingPolicyRules", "SpeedMeter", "SpeedMeterIntervalSec", "UseDomains",
	}
}

// managerSections are the other sections of networkd.conf.
func managerSections() []string {
	return []string{"DHCP", "DHCPServer", "DHCPv4", "DHCPv6", "IPv6AcceptRA", "IPv6AddressLabel"}
}
