package iproute2

import (
	"strconv"
	"strings"

	"rpdb"
)

// ipProtoNames are the names of the protocols database as distributions ship
// it (protocols(5)), by number, "" for none; a name spelled with capitals in its alias is
// read too.
var ipProtoNames = [256]string{
	0: "ip", 1: "icmp", 2: "igmp", 3: "ggp", 4: "ipencap", 5: "st", 6: "tcp", 8: "egp", 9: "igp",
	12: "pup", 17: "udp", 20: "hmp", 22: "xns-idp", 27: "rdp", 29: "iso-tp4", 33: "dccp", 36: "xtp",
	37: "ddp", 38: "idpr-cmtp", 41: "ipv6", 43: "ipv6-route", 44: "ipv6-frag", 45: "idrp", 46: "rsvp",
	47: "gre", 50: "esp", 51: "ah", 57: "skip", 58: "ipv6-icmp", 59: "ipv6-nonxt", 60: "ipv6-opts",
	73: "rspf", 81: "vmtp", 88: "eigrp", 89: "ospf", 93: "ax.25", 94: "ipip", 97: "etherip", 98: "encap",
	103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 124: "isis", 132: "sctp", 133: "fc",
	135: "mobility-header", 136: "udplite", 137: "mpls-in-ip", 138: "manet", 139: "hip", 140: "shim6",
	141: "wesp", 142: "rohc", 143: "ethernet",
}

// IPProto returns the name of an IP protocol as listings spell it, and
// "ipproto-N" for one without a name.
func IPProto(p rpdb.IPProto) string {
	if name := ipProtoNames[p]; name != "" {
		return name
	}
	return "ipproto-" + strconv.Itoa(int(p))
}

// ParseIPProto reads a protocol: a decimal number from 0 to 255, or a name in
// small letters or as the database's aliases spell it.
func ParseIPProto(s string) (rpdb.IPProto, bool) {
	if n, err := parseUint(s, 10, 8); err == nil {
		return rpdb.IPProto(n), true
	}
	switch s {
	case "icmpv6":
		return rpdb.ICMPv6, true
	case "IPSEC-ESP":
		return 50, true
	case "IPSEC-AH":
		return 51, true
	case "OSPFIGP":
		return 89, true
	}
	for p, name := range ipProtoNames {
		if name == "" {
			continue
		}
		if s == name || (s != strings.ToLower(s) && strings.ToLower(s) == strings.ReplaceAll(name, "ipencap", "ip-encap")) {
			return rpdb.IPProto(p), true
		}
	}
	return 0, false
}
