package nft

import (
	"encoding/binary"
	"fmt"

	"rpdb/kernel/netlink"
)

// expr is one expression of a rule, as a comparable value. What the kernel says
// in several ways, such as the number of a register, it has one way for.
type expr interface {
	// kind is the name by which the kernel knows the expression.
	kind() string
	// encode writes the attributes that are the expression's own.
	encode(e *netlink.Encoder)
}

// reg is a register of 32 bits, 0 to 15; longer values lie in several.
type reg uint32

// The kernel numbers registers of 128 bits from 1 and those of 32 bits from 8;
// register 0 holds the verdict.
const (
	firstWide   = 1
	firstNarrow = 8
	regVerdict  = 0
)

func (r reg) number() uint32 { return uint32(r) + firstNarrow }

func regOf(number uint32) reg {
	if number >= firstNarrow {
		return reg(number - firstNarrow)
	}
	return reg((number - firstWide) * 4)
}

// Numbers of nf_tables (include/uapi/linux/netfilter/nf_tables.h).
const (
	attrExprName, attrExprData = 1, 2
	attrListElem               = 1
	attrDataValue, attrVerdict = 1, 2
	attrVerdictCode            = 1

	baseNetwork, baseTransport = 1, 2
	sumInet                    = 1 // NFT_PAYLOAD_CSUM_INET
	sumPseudo                  = 1 // NFT_PAYLOAD_L4CSUM_PSEUDOHDR

	metaPriority, metaIIF, metaL4Proto = 2, 4, 16
	rtClassID                          = 0

	opEqual, opNotEqual = 0, 1

	bitMaskXor = 0

	natSource, natDestination = 0, 1
	natAddresses, natBlock    = 0x1, 0x40 // NF_NAT_RANGE_MAP_IPS, _NETMAP

	verdictDrop, verdictAccept = 0, 1
)

// payload loads bytes of the packet into a register, or with store writes them
// and corrects checksums: sum is the kind of the one at sumOff, sumFlags says
// that the checksum of the transport header counts the address.
type payload struct {
	store                 bool
	reg                   reg
	base, off, len        uint32
	sum, sumOff, sumFlags uint32
}

func (payload) kind() string { return "payload" }

func (x payload) encode(e *netlink.Encoder) {
	if x.store {
		e.NetUint32(5, x.reg.number())
	} else {
		e.NetUint32(1, x.reg.number())
	}
	e.NetUint32(2, x.base)
	e.NetUint32(3, x.off)
	e.NetUint32(4, x.len)
	if x.store {
		e.NetUint32(6, x.sum)
		e.NetUint32(7, x.sumOff)
		e.NetUint32(8, x.sumFlags)
	}
}

func decodePayload(d *netlink.Decoder) expr {
	var x payload
	for d.Next() {
		switch d.Type() {
		case 1:
			x.reg = regOf(d.NetUint32())
		case 2:
			x.base = d.NetUint32()
		case 3:
			x.off = d.NetUint32()
		case 4:
			x.len = d.NetUint32()
		case 5:
			x.store, x.reg = true, regOf(d.NetUint32())
		case 6:
			x.sum = d.NetUint32()
		case 7:
			x.sumOff = d.NetUint32()
		case 8:
			x.sumFlags = d.NetUint32()
		default:
			return nil
		}
	}
	return x
}

// meta loads what the kernel knows about the packet, rt what it knows about its
// route; setMeta writes what meta loads.
type (
	meta struct {
		reg reg
		key uint32
	}
	rt struct {
		reg reg
		key uint32
	}
	setMeta struct {
		reg reg
		key uint32
	}
)

func (meta) kind() string                { return "meta" }
func (rt) kind() string                  { return "rt" }
func (setMeta) kind() string             { return "meta" }
func (x meta) encode(e *netlink.Encoder) { encodeLoad(e, x.reg, x.key) }
func (x rt) encode(e *netlink.Encoder)   { encodeLoad(e, x.reg, x.key) }

func (x setMeta) encode(e *netlink.Encoder) {
	e.NetUint32(3, x.reg.number())
	e.NetUint32(2, x.key)
}

func decodeMeta(d *netlink.Decoder) expr {
	var key, from, to uint32
	loads, writes := false, false
	for d.Next() {
		switch d.Type() {
		case 1:
			to, loads = d.NetUint32(), true
		case 2:
			key = d.NetUint32()
		case 3:
			from, writes = d.NetUint32(), true
		default:
			return nil
		}
	}
	switch {
	case loads && !writes:
		return meta{regOf(to), key}
	case writes && !loads:
		return setMeta{regOf(from), key}
	}
	return nil
}

func encodeLoad(e *netlink.Encoder, r reg, key uint32) {
	e.NetUint32(1, r.number())
	e.NetUint32(2, key)
}

func decodeLoad(d *netlink.Decoder) (r reg, key uint32, ok bool) {
	for d.Next() {
		switch d.Type() {
		case 1:
			r = regOf(d.NetUint32())
		case 2:
			key = d.NetUint32()
		default:
			return 0, 0, false
		}
	}
	return r, key, true
}

// compare ends the rule unless the register holds, or does not hold, the bytes.
type compare struct {
	reg  reg
	op   uint32
	data string
}

func (compare) kind() string { return "cmp" }

func (x compare) encode(e *netlink.Encoder) {
	e.NetUint32(1, x.reg.number())
	e.NetUint32(2, x.op)
	encodeData(e, 3, x.data)
}

func decodeCompare(d *netlink.Decoder) expr {
	var x compare
	for d.Next() {
		switch d.Type() {
		case 1:
			x.reg = regOf(d.NetUint32())
		case 2:
			x.op = d.NetUint32()
		case 3:
			x.data = decodeData(d)
		default:
			return nil
		}
	}
	return x
}

// between ends the rule unless the register is in the range.
type between struct {
	reg         reg
	op          uint32
	first, last string
}

func (between) kind() string { return "range" }

func (x between) encode(e *netlink.Encoder) {
	e.NetUint32(1, x.reg.number())
	e.NetUint32(2, x.op)
	encodeData(e, 3, x.first)
	encodeData(e, 4, x.last)
}

func decodeBetween(d *netlink.Decoder) expr {
	var x between
	for d.Next() {
		switch d.Type() {
		case 1:
			x.reg = regOf(d.NetUint32())
		case 2:
			x.op = d.NetUint32()
		case 3:
			x.first = decodeData(d)
		case 4:
			x.last = decodeData(d)
		default:
			return nil
		}
	}
	return x
}

// bitwise computes (from and mask) xor with the bytes. The kernel knows other
// operations since; programs that list rules end at some of them.
type bitwise struct {
	from, to  reg
	len       uint32
	mask, xor string
}

func (bitwise) kind() string { return "bitwise" }

func (x bitwise) encode(e *netlink.Encoder) {
	e.NetUint32(1, x.from.number())
	e.NetUint32(2, x.to.number())
	e.NetUint32(3, x.len)
	encodeData(e, 4, x.mask)
	encodeData(e, 5, x.xor)
}

func decodeBitwise(d *netlink.Decoder) expr {
	var x bitwise
	for d.Next() {
		switch d.Type() {
		case 1:
			x.from = regOf(d.NetUint32())
		case 2:
			x.to = regOf(d.NetUint32())
		case 3:
			x.len = d.NetUint32()
		case 4:
			x.mask = decodeData(d)
		case 5:
			x.xor = decodeData(d)
		case 6:
			if d.NetUint32() != bitMaskXor {
				return nil
			}
		default:
			return nil
		}
	}
	return x
}

// immediate puts bytes into a register; verdict ends the chain.
type (
	immediate struct {
		reg  reg
		data string
	}
	verdict struct{ code uint32 }
)

func (immediate) kind() string { return "immediate" }
func (verdict) kind() string   { return "immediate" }

func (x immediate) encode(e *netlink.Encoder) {
	e.NetUint32(1, x.reg.number())
	encodeData(e, 2, x.data)
}

func (x verdict) encode(e *netlink.Encoder) {
	e.NetUint32(1, regVerdict)
	e.Nest(2|netlink.Nested, func() {
		e.Nest(attrVerdict|netlink.Nested, func() { e.NetUint32(attrVerdictCode, x.code) })
	})
}

func decodeImmediate(d *netlink.Decoder) expr {
	var number uint32
	var data string
	code, ok := uint32(0), false
	for d.Next() {
		switch d.Type() {
		case 1:
			number = d.NetUint32()
		case 2:
			n := d.Nest()
			for n.Next() {
				switch n.Type() {
				case attrDataValue:
					data = string(n.Data())
				case attrVerdict:
					v := n.Nest()
					for v.Next() {
						if v.Type() != attrVerdictCode {
							return nil // a jump to a chain
						}
						code, ok = v.NetUint32(), true
					}
					n.Join(&v)
				}
			}
			d.Join(&n)
		default:
			return nil
		}
	}
	if number == regVerdict {
		if !ok {
			return nil
		}
		return verdict{code}
	}
	return immediate{regOf(number), data}
}

// nat gives the flow another address, from first to last.
type nat struct {
	typ, family uint32
	first, last reg
	flags       uint32
}

func (nat) kind() string { return "nat" }

func (x nat) encode(e *netlink.Encoder) {
	e.NetUint32(1, x.typ)
	e.NetUint32(2, x.family)
	e.NetUint32(3, x.first.number())
	if x.last != x.first {
		e.NetUint32(4, x.last.number())
	}
	e.NetUint32(7, x.flags)
}

func decodeNAT(d *netlink.Decoder) expr {
	var x nat
	var last reg
	hasLast := false
	for d.Next() {
		switch d.Type() {
		case 1:
			x.typ = d.NetUint32()
		case 2:
			x.family = d.NetUint32()
		case 3:
			x.first = regOf(d.NetUint32())
		case 4:
			last, hasLast = regOf(d.NetUint32()), true
		case 7:
			x.flags = d.NetUint32()
		default:
			return nil // ports
		}
	}
	if x.last = x.first; hasLast {
		x.last = last
	}
	return x
}

// masquerade gives the flow the address of the interface it leaves by; notrack
// keeps the packet out of connection tracking.
type (
	masquerade struct{}
	notrack    struct{}
)

func (masquerade) kind() string            { return "masq" }
func (notrack) kind() string               { return "notrack" }
func (masquerade) encode(*netlink.Encoder) {}
func (notrack) encode(*netlink.Encoder)    {}

// strange is an expression that this package does not write, or an attribute of
// one that it does.
type strange struct{ name, raw string }

func (x strange) kind() string          { return x.name }
func (strange) encode(*netlink.Encoder) {}

func encodeData(e *netlink.Encoder, typ uint16, data string) {
	e.Nest(typ|netlink.Nested, func() { e.Bytes(attrDataValue, []byte(data)) })
}

func decodeData(d *netlink.Decoder) (data string) {
	n := d.Nest()
	for n.Next() {
		if n.Type() == attrDataValue {
			data = string(n.Data())
		}
	}
	d.Join(&n)
	return data
}

func encodeExpr(e *netlink.Encoder, x expr) {
	e.Nest(attrListElem|netlink.Nested, func() {
		e.String(attrExprName, x.kind())
		e.Nest(attrExprData|netlink.Nested, func() { x.encode(e) })
	})
}

func decodeExprs(d netlink.Decoder) ([]expr, error) {
	var all []expr
	for d.Next() {
		var name string
		var data []byte
		n := d.Nest()
		for n.Next() {
			switch n.Type() {
			case attrExprName:
				name = n.String()
			case attrExprData:
				data = n.Data()
			}
		}
		d.Join(&n)
		x, err := decodeExpr(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, d.Err()
}

func decodeExpr(name string, data []byte) (expr, error) {
	d := netlink.NewDecoder(data)
	var x expr
	switch name {
	case "payload":
		x = decodePayload(&d)
	case "meta":
		x = decodeMeta(&d)
	case "rt":
		if r, key, ok := decodeLoad(&d); ok {
			x = rt{r, key}
		}
	case "cmp":
		x = decodeCompare(&d)
	case "range":
		x = decodeBetween(&d)
	case "bitwise":
		x = decodeBitwise(&d)
	case "immediate":
		x = decodeImmediate(&d)
	case "nat":
		x = decodeNAT(&d)
	case "masq":
		if !d.Next() {
			x = masquerade{}
		}
	case "notrack":
		if !d.Next() {
			x = notrack{}
		}
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("decode expression %q: %w", name, err)
	}
	if x == nil {
		return strange{name, string(data)}, nil
	}
	return x, nil
}

// host32 returns a number as a register of the host holds it.
func host32(v uint32) string { return string(binary.NativeEndian.AppendUint32(nil, v)) }

func net16(v uint16) string { return string(binary.BigEndian.AppendUint16(nil, v)) }
