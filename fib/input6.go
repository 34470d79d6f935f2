package fib

import "rpdb"

// input6 decides for a packet that came in by an interface (ip6_rcv,
// ip6_route_input, ip6_forward). IPv6 has no reverse-path check of its own.
func (f *FIB) input6(flow *rpdb.Flow, d *rpdb.Decision, rec *recorder) {
	dropPorts(flow)
	rec.begin(Input, flow)
	f.receive6(flow, d, rec)
	rec.end(d)
}

func (f *FIB) receive6(flow *rpdb.Flow, d *rpdb.Decision, rec *recorder) {
	in := f.byName[flow.IIF]
	if in == nil {
		*d = refused(rpdb.ENODEV, "the ingress interface does not exist")
		return
	}
	if martian6(flow, in, d) {
		return
	}
	var k key
	k.set(flow)
	k.uid, k.iif, k.want = 0, in.Index, in.Index
	k.strict, k.reach = needsStrict6(k.dst), !f.sysctls.forward6
	k.nobody = flow.Src.IsValid() && flow.Src.IsUnspecified()
	k.hasSrc = flow.Src.IsValid() // rules compare :: too
	var v verdict
	f.walk(&f.v6, &k, &v, rec)
	v.decision(&k, d)
	switch {
	case v.outcome == denied && !k.nobody:
		d.ICMP = icmp6(d.Errno)
	case v.outcome == hit:
		f.forward6(&k, &v, d)
	}
}

// martian6 drops what needs no lookup to be recognised as wrong.
func martian6(flow *rpdb.Flow, in *link, d *rpdb.Decision) (done bool) {
	switch {
	case flow.Dst.IsMulticast():
		*d = unknown("multicast membership is not in the snapshot")
	case flow.Src.IsMulticast():
		*d = martian(rpdb.EINVAL, "the source is no address of a host")
	case (flow.Dst.IsLoopback() || flow.Src.IsLoopback()) && !in.IsLoopback():
		*d = martian(rpdb.EINVAL, "a loopback address came in from outside")
	default:
		return false
	}
	return true
}

// forward6 delivers a packet here or sends it on.
func (f *FIB) forward6(k *key, v *verdict, d *rpdb.Decision) {
	d.Src = sourceOrNone(k.src)
	switch {
	case isLocal6(v.route.typ):
		d.Disposition, d.Hop, d.Either = rpdb.Local, f.localHop6(v), nil
		return
	case !f.sysctls.forward6:
		*d = martian(rpdb.EHOSTUNREACH, "IPv6 forwarding is off")
		return
	case k.nobody && v.hop.link != f.byIndex[k.iif]:
		*d = martian(rpdb.EINVAL, "a packet without a source is not forwarded")
		return
	case d.Src.IsLinkLocalUnicast() && v.hop.link != f.byIndex[k.iif]:
		*d = martian(rpdb.EINVAL, "a link-local source does not leave its link")
		d.ICMP = rpdb.ICMPError{Type: 1, Code: 2}
		return
	}
	d.Disposition, d.Realms = rpdb.Sent, v.hop.program
	if len(v.either) > 0 {
		d.Note = noteMultipath
	}
}

// icmp6 is the ICMPv6 error that answers a packet that could not be forwarded.
func icmp6(e rpdb.Errno) rpdb.ICMPError {
	switch e {
	case rpdb.ENETUNREACH, rpdb.EHOSTUNREACH:
		return rpdb.ICMPError{Type: 1, Code: 0}
	case rpdb.EACCES:
		return rpdb.ICMPError{Type: 1, Code: 1}
	}
	return rpdb.ICMPError{}
}
