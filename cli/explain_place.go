package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rpdb"
	"rpdb/format/pcap"
)

// placed says where a packet of a capture was when it was captured.
type placed struct {
	// incoming packets came in by link; others are of this host.
	incoming bool
	link     rpdb.LinkName
	// seen is the interface that a packet of this host was seen leaving by, ""
	// if the capture does not tell.
	seen rpdb.LinkName
	// reason says why there is no lookup to explain; "" if there is.
	reason string
}

const (
	reasonForeign = "for the address of another host: dropped before a route is sought"
	reasonLeaving = "forwarded, on their way out: the route was sought when they came in"
	reasonGroup   = "to a multicast address: who has joined it is not in the snapshot"
	reasonLater   = "later fragments of packets of this host: the whole packet was routed, with its first fragment"
)

// place finds out whether a packet came in, and where, or is one of this host.
func (x *captureExplainer) place(p pcap.Packet, f pcap.Frame, ip pcap.IP) (placed, error) {
	own := x.own[ip.Src] || ip.Src.IsLoopback() || ip.Src.IsUnspecified() && f.Direction == pcap.Outgoing
	if x.words.local {
		return outgoing(ip, ""), nil
	}
	link, err := x.seenAt(p, f)
	switch {
	case err != nil:
		return placed{reason: err.Error()}, nil
	case f.Direction == pcap.Foreign:
		return placed{reason: reasonForeign}, nil
	case f.Direction == pcap.Outgoing && !own:
		return placed{reason: reasonLeaving}, nil
	case f.Direction == pcap.Outgoing:
		return outgoing(ip, link), nil
	case own && f.Direction == pcap.DirectionUnknown, x.links[link].IsLoopback():
		return outgoing(ip, ""), nil
	case link == "":
		return placed{}, errNoInterface{}
	case ip.Dst.IsMulticast():
		return placed{reason: reasonGroup}, nil
	}
	return placed{incoming: true, link: link}, nil
}

// errNoInterface is a packet that came in nobody knows where.
type errNoInterface struct{}

// Error says what is missing.
func (errNoInterface) Error() string {
	return "it came in, and the capture does not say by which interface"
}

// Hint says how to add it.
func (errNoInterface) Hint() string {
	return `name the interface with "iif NAME", or say "local" if all packets are of this host; "tcpdump -i any" records both with each packet`
}

// outgoing is the place of a packet that this host sent.
func outgoing(ip pcap.IP, seen rpdb.LinkName) placed {
	if ip.Later {
		return placed{reason: reasonLater}
	}
	return placed{seen: seen}
}

// errElsewhere is a reason to leave a packet out.
type errElsewhere string

// Error returns the reason.
func (e errElsewhere) Error() string { return string(e) }

// seenAt returns the interface for whose sake a packet is explained: that of the
// capture, else the one that was named; of a tagged frame the interface of the
// VLAN, and of a frame seen at a port the bridge or bond. It is "" if nobody
// says. The error is a reason to leave the packet out.
func (x *captureExplainer) seenAt(p pcap.Packet, f pcap.Frame) (rpdb.LinkName, error) {
	named := x.words.flow.IIF
	told, err := x.told(p, f)
	if errors.Is(err, errUnknownLink{}) && named != "" {
		told, err = "", nil
	}
	at := cmp.Or(told, named)
	if err != nil || at == "" {
		return "", err
	}
	at, err = x.tagged(at, f)
	if err == nil && named != "" && told != "" && at != named {
		return "", errElsewhere(fmt.Sprintf("at %s, and not at %s", safe(at), safe(named)))
	}
	return at, err
}

// errUnknownLink is the name or the number of an interface of another host, or
// of another time.
type errUnknownLink struct{ which string }

// Error says which.
func (e errUnknownLink) Error() string {
	return "at interface " + e.which + ", which does not exist here"
}

// Is makes all of them alike.
func (errUnknownLink) Is(target error) bool { _, ok := target.(errUnknownLink); return ok }

// told returns the interface that the capture itself names.
func (x *captureExplainer) told(p pcap.Packet, f pcap.Frame) (rpdb.LinkName, error) {
	switch {
	case f.Index != 0:
		l, ok := x.indexes[f.Index]
		if !ok {
			return "", errUnknownLink{fmt.Sprint(f.Index)}
		}
		// Such captures are of all interfaces, and so of the upper ones too.
		if master, ok := x.master(l); ok {
			return "", errElsewhere(fmt.Sprintf("at %s, a port of %s, where they are seen again", safe(l.Name), safe(master)))
		}
		if upper := vlanName(l.Name, f.VLANs); upper != l.Name && x.exists(upper) {
			return "", errElsewhere(fmt.Sprintf("at %s below %s, where they are seen again", safe(l.Name), safe(upper)))
		}
		return l.Name, nil
	case p.Interface == "":
		return "", nil
	}
	l, ok := x.links[rpdb.LinkName(p.Interface)]
	if !ok {
		return "", errUnknownLink{strconv.Quote(p.Interface)}
	}
	if master, ok := x.master(l); ok && f.VLANs[0] == 0 {
		return master, nil
	}
	return l.Name, nil
}

// master returns the bridge or bond that takes what comes in at a port. Members
// of a VRF keep what comes in.
func (x *captureExplainer) master(l rpdb.Link) (rpdb.LinkName, bool) {
	m, ok := x.indexes[l.Master]
	if l.Master == 0 || !ok || m.Kind == "vrf" || m.VRFTable != 0 {
		return "", false
	}
	return m.Name, true
}

func (x *captureExplainer) exists(name rpdb.LinkName) bool {
	_, ok := x.links[name]
	return ok
}

// tagged returns the interface that takes the frames of a VLAN.
func (x *captureExplainer) tagged(link rpdb.LinkName, f pcap.Frame) (rpdb.LinkName, error) {
	upper := vlanName(link, f.VLANs)
	if upper == link || x.exists(upper) {
		return upper, nil
	}
	// The interface of the VLAN itself may have been named.
	tag := fmt.Sprint(cmp.Or(f.VLANs[1], f.VLANs[0]))
	if x.links[link].Kind == "vlan" && strings.HasSuffix(string(link), tag) {
		return link, nil
	}
	return "", errElsewhere(fmt.Sprintf("of VLAN %s, for which there is no interface %s", strings.TrimPrefix(string(upper), string(link)+"."), safe(upper)))
}

// vlanName returns the usual name of the interface of a VLAN: eth0.10, or
// eth0.100.10 inside another.
func vlanName(link rpdb.LinkName, tags [2]uint16) rpdb.LinkName {
	for _, tag := range tags {
		if tag != 0 {
			link += rpdb.LinkName(fmt.Sprintf(".%d", tag))
		}
	}
	return link
}
