package fib

import "rpdb"

// input6 decides for a packet that came in by an interface (ip6_rcv,
// ip6_route_input, ip6_forward). IPv6 has no reverse-path check of its own.
func (f *FIB) input6(flow rpdb.Flow, rec *recorder) rpdb.Decision {
	flow = withoutPorts(flow)
	rec.begin(Input, flow)
	d := f.receive6(flow, rec)
	rec.end(d)
	return d
}

func (f *FIB) receive6(flow rpdb.Flow, rec *recorder) rpdb.Decision {
	in := f.byName[flow.IIF]
	if in == nil {
		return refused(rpdb.ENODEV, "the ingress interface does not exist")
	}
	if d, done := martian6(flow, in); done {
		return d
	}
	k := newKey(flow)
	k.uid, k.iif, k.want = 0, in.Index, in.Index
	k.strict, k.reach = needsStrict6(k.dst), !f.sysctls.forward6
	k.nobody = flow.Src.IsValid() && flow.Src.IsUnspecified()
	k.hasSrc = flow.Src.IsValid() // rules compare :: too
	v := f.walk(&f.v6, &k, rec)
	d := v.decision()
	switch {
	case v.outcome == denied && !k.nobody:
		d.ICMP = icmp6(d.Errno)
	case v.outcome == hit:
		return f.forward6(&k, &v, d)
	}
	return d
}

// martian6 drops what needs no lookup to be recognised as wrong.
func martian6(flow rpdb.Flow, in *link) (rpdb.Decision, bool) {
	switch {
	case flow.Dst.IsMulticast():
		return unknown("multicast membership is not in the snapshot"), true
	case flow.Src.IsMulticast():
		return martian(rpdb.EINVAL, "the source is no address of a host"), true
	case (flow.Dst.IsLoopback() || flow.Src.IsLoopback()) && !in.IsLoopback():
		return martian(rpdb.EINVAL, "a loopback address came in from outside"), true
	}
	return rpdb.Decision{}, false
}

// forward6 delivers a packet here or sends it on.
func (f *FIB) forward6(k *key, v *verdict, d rpdb.Decision) rpdb.Decision {
	d.Src = sourceOrNone(k.src)
	switch {
	case isLocal6(v.route.typ):
		d.Disposition, d.Hop, d.Either = rpdb.Local, f.localHop6(v), nil
		return d
	case !f.sysctls.forward6:
		return martian(rpdb.EHOSTUNREACH, "IPv6 forwarding is off")
	case k.nobody && v.hop.link != f.byIndex[k.iif]:
		return martian(rpdb.EINVAL, "a packet without a source is not forwarded")
	case d.Src.IsLinkLocalUnicast() && v.hop.link != f.byIndex[k.iif]:
		m := martian(rpdb.EINVAL, "a link-local source does not leave its link")
		m.ICMP = rpdb.ICMPError{Type: 1, Code: 2}
		return m
	}
	d.Disposition, d.Realms = rpdb.Sent, v.hop.program
	if len(v.either) > 0 {
		d.Note = noteMultipath
	}
	return d
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
