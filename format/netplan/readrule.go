package netplan

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// highest is the largest number that netplan hands on as it is.
const highest = 1<<31 - 1

// number reads a number from low to the highest.
func number(node *yaml.Node, low uint64) (uint32, error) {
	n, err := strconv.ParseUint(node.Value, 10, 64)
	switch {
	case node.Kind != yaml.ScalarNode || err != nil || len(node.Value) > 1 && node.Value[0] == '0':
		return 0, errors.New("it is no number")
	case n < low:
		return 0, fmt.Errorf("it is less than %d", low)
	case n > highest:
		return 0, fmt.Errorf("netplan hands on numbers up to %d, and -1 for those that are larger", highest)
	}
	return uint32(n), nil
}

// prefix reads an address with or without the length of a prefix.
func prefix(node *yaml.Node) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(node.Value); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("it is neither an address nor a prefix")
	}
	return p, nil
}

// rule reads an entry of routing-policy.
func (b *device) rule(node *yaml.Node) {
	r := rpdb.Rule{Protocol: rpdb.ProtocolStatic}
	table := b.table
	hasPriority, before := false, len(b.errs)
	for key, value := range b.mapping(b.file, node, "rule") {
		var err error
		var n uint32
		switch key.Value {
		case "from":
			r.Selector.From, err = prefix(value)
		case "to":
			r.Selector.To, err = prefix(value)
		case "table":
			n, err = number(value, 1)
			table = rpdb.TableID(n)
		case "priority":
			n, err = number(value, 0)
			r.Priority, hasPriority = rpdb.Priority(n), true
		case "mark":
			n, err = number(value, 1) // 0 is left out, and the rule matches every mark
			r.Selector.Mark = rpdb.Mark{Value: n, Mask: 1<<32 - 1}
		case "type-of-service":
			n, err = number(value, 0)
			if n > 255 {
				err = errors.New("it is more than 255")
			}
			r.Selector.TOS = uint8(n)
		default:
			b.refuse(b.file, key, "key", "netplan has no such key in a rule")
		}
		if err != nil {
			b.refuse(b.file, value, key.Value, err.Error())
		}
	}
	s := r.Selector
	switch {
	case len(b.errs) > before:
		return
	case !s.From.IsValid() && !s.To.IsValid():
		b.refuse(b.file, node, "rule", "it has neither from nor to")
	case s.From.IsValid() && s.To.IsValid() && s.From.Addr().Is4() != s.To.Addr().Is4():
		b.refuse(b.file, node, "rule", "its addresses are of two families")
	case !hasPriority:
		b.refuse(b.file, node, "rule", "it has no priority, and is given one that is free at each start")
	default:
		r.Family = rpdb.FamilyOf(s.From.Addr())
		if !s.From.IsValid() {
			r.Family = rpdb.FamilyOf(s.To.Addr())
		}
		r.Action = rpdb.ToTable(table)
		b.snapshot.Rules = append(b.snapshot.Rules, r)
	}
}
