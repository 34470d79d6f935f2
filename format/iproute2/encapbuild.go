package iproute2

import (
	"encoding/base64"
	"slices"

	"rpdb"
)

// setEncapType takes the kind of a tunnel, whose fields follow.
func (b *RouteBuilder) setEncapType(s string) bool {
	n := slices.IndexFunc(encapKinds[:], func(k encapKind) bool { return k.word == s })
	if n < 0 {
		return false
	}
	b.tunnel = tunnelParts{kind: uint16(n)}
	b.top().tunnel = encapKinds[n].fields()
	if n == 0 { // has no fields, and a number only for those who want it all
		b.top().tunnel = nil
	}
	b.seen.hop = b.seen.hop || b.hop == &b.single
	return true
}

// setFlatEncap takes the kind of a tunnel whose fields follow among those of
// the nexthop.
func (b *RouteBuilder) setFlatEncap(s string) bool {
	return s != encapKinds[0].word && b.setEncapType(s)
}

// endTunnel ends the fields of a tunnel, if they are being read.
func (b *RouteBuilder) endTunnel() {
	if top := b.top(); top.tunnel != nil {
		top.tunnel = nil
		if b.tunnel.kind == encapSeg6 || b.tunnel.kind == encapRPL {
			if n := len(b.tunnel.segments); n == 0 {
				b.fail("field %q is missing", "segs")
				return
			}
		}
		b.hop.EncapType, b.hop.Encap = b.tunnel.kind, b.tunnel.encap()
	}
}

func (b *RouteBuilder) setEncapNumber(s string) bool {
	return setNumber(&b.hop.EncapType, s, 16) && b.hop.EncapType != 0
}

func (b *RouteBuilder) setEncapBytes(s string) bool {
	raw, err := base64.StdEncoding.DecodeString(s)
	b.hop.Encap = rpdb.Raw(raw)
	return err == nil && len(raw) > 0
}

func (b *RouteBuilder) endEncap() {
	if b.hop.EncapType == 0 {
		b.fail("field %q: a tunnel that nobody knows", "encap")
	}
}
