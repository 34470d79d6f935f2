package netlink

import (
	"encoding/binary"
	"syscall"
)

// Numbers of what the guard looks at (include/uapi/linux: rtnetlink.h,
// nexthop.h, lwtunnel.h).
const (
	newRoute   = 24
	getRoute   = 26
	newNexthop = 104
	getNexthop = 106

	routeHead, nexthopHead = 12, 8 // struct rtmsg, struct nhmsg
	hopHead                = 8     // struct rtnexthop

	routeMultipath = 9
	routeEncapType = 21
	routeEncap     = 22

	nexthopEncapType = 7
	nexthopEncap     = 8

	tunnelIP, tunnelIP6 = 2, 4
	tunnelOptions       = 8 // LWTUNNEL_IP_OPTS and LWTUNNEL_IP6_OPTS
)

// Guard refuses a request that makes a kernel stop: a route or nexthop object
// whose tunnel has options (those of geneve, vxlan and erspan). Linux 6.18 ends
// in a BUG in ip_tun_parse_opts while it holds the lock that all of routing
// waits for, so whoever may change routes in a namespace of their own can stop
// the machine. It stands here because every request passes here.
func Guard(typ uint16, payload []byte) error {
	var bad bool
	switch {
	case typ >= newRoute && typ <= getRoute && len(payload) >= routeHead:
		if !tunnels(payload[routeHead:]) { // as most
			return nil
		}
		bad = hasTunnelOptions(payload[routeHead:], routeEncapType, routeEncap) || inMultipath(payload[routeHead:])
	case typ >= newNexthop && typ <= getNexthop && len(payload) >= nexthopHead:
		bad = hasTunnelOptions(payload[nexthopHead:], nexthopEncapType, nexthopEncap)
	}
	if !bad {
		return nil
	}
	return &Error{
		Errno:   syscall.EOPNOTSUPP,
		Message: "encap with geneve, vxlan or erspan options is not sent: Linux 6.18 stops working at them",
	}
}

// tunnels reports whether attributes of a route can make a tunnel at all.
func tunnels(attrs []byte) bool {
	d := NewDecoder(attrs)
	for d.Next() {
		if t := d.Type(); t == routeEncap || t == routeMultipath {
			return true
		}
	}
	return false
}

// hasTunnelOptions reports whether attributes make a tunnel with options. Of
// attributes that are given twice the kernel may read either, so both count.
func hasTunnelOptions(attrs []byte, typeOf, encapOf uint16) bool {
	options, tunnel := false, false
	d := NewDecoder(attrs)
	for d.Next() {
		switch v := d.Data(); {
		case d.Type() == typeOf && len(v) >= 2:
			t := binary.NativeEndian.Uint16(v)
			tunnel = tunnel || t == tunnelIP || t == tunnelIP6
		case d.Type() == encapOf:
			inner := NewDecoder(v)
			for inner.Next() {
				options = options || inner.Type() == tunnelOptions
			}
		}
	}
	return options && tunnel
}

// inMultipath looks at the members of multipath routes.
func inMultipath(attrs []byte) bool {
	d := NewDecoder(attrs)
	for d.Next() {
		if d.Type() != routeMultipath {
			continue
		}
		for b := d.Data(); len(b) >= hopHead; {
			n := int(binary.NativeEndian.Uint16(b))
			if n < hopHead || n > len(b) {
				break
			}
			if hasTunnelOptions(b[hopHead:n], routeEncapType, routeEncap) {
				return true
			}
			b = b[min(align(n), len(b)):]
		}
	}
	return false
}
