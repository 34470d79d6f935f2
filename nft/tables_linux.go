package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// tableName is the name of our tables; tableComment marks them as ours and says
// how to read them.
const (
	tableName    = "rpdb"
	tableComment = "nat of rpdb, format 1"
)

// Messages of nf_tables: the subsystem in the high byte.
const (
	subsystem                    = 10 << 8
	newTable, getTable, delTable = subsystem, subsystem + 1, subsystem + 2
	newChain, getChain           = subsystem + 3, subsystem + 4
	newRule, getRule             = subsystem + 6, subsystem + 7
	getGeneration                = subsystem + 16
	getSet, getObject, getFlow   = subsystem + 10, subsystem + 19, subsystem + 23
	batchBegin, batchEnd         = 0x10, 0x11

	commentType = 0 // of the user data of tables and rules
)

// head is the struct nfgenmsg of a message.
func head(family rpdb.Family, resource uint16) []byte {
	return []byte{byte(family), 0, byte(resource >> 8), byte(resource)}
}

const headLen = 4

func attributes(m netlink.Message) (netlink.Decoder, error) {
	if len(m.Data) < headLen {
		return netlink.Decoder{}, fmt.Errorf("decode message of nf_tables: %d bytes", len(m.Data))
	}
	return netlink.NewDecoder(m.Data[headLen:]), nil
}

// generation is the number of the state that nf_tables is in.
func (c *Conn) generation(ctx context.Context) (n uint32, err error) {
	err = c.nl.Execute(ctx, netlink.NewEncoder(nil, getGeneration, 0, head(0, 0)), func(m netlink.Message) error {
		d, err := attributes(m)
		for err == nil && d.Next() {
			if d.Type() == 1 {
				n = d.NetUint32()
			}
		}
		return errors.Join(err, d.Err())
	})
	return n, supported(err)
}

// supported tells a kernel without nf_tables by how it refuses the first question.
func supported(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("nf_tables is %w", ErrUnsupported)
	}
	return err
}

// table is a table with our name.
type table struct {
	family  rpdb.Family
	comment string
	flags   uint32 // 0 as we write it
}

func (t table) ours() bool {
	return t.comment == tableComment && (t.family == rpdb.IPv4 || t.family == rpdb.IPv6)
}

func (t table) String() string {
	words := map[rpdb.Family]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
	return "table " + words[t.family] + " " + tableName
}

func (c *Conn) tables(ctx context.Context) (all []table, err error) {
	_, err = c.nl.Dump(ctx, netlink.NewEncoder(nil, getTable, 0, head(0, 0)), func(m netlink.Message) error {
		d, err := attributes(m)
		if err != nil {
			return err
		}
		t, name := table{family: rpdb.Family(m.Data[0])}, ""
		for d.Next() {
			switch d.Type() {
			case 1:
				name = d.String()
			case 2:
				t.flags = d.NetUint32()
			case 6:
				t.comment = commentOf(d.Data())
			}
		}
		if name == tableName {
			all = append(all, t)
		}
		return d.Err()
	})
	slices.SortFunc(all, func(a, b table) int { return int(a.family) - int(b.family) })
	return all, err
}

// commentOf finds the comment in user data, which is a run of bytes for type and
// length and the value, by the agreement of the programs that write rules.
func commentOf(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == commentType {
			return strings.TrimSuffix(string(b[2:2+int(b[1])]), "\x00")
		}
		b = b[2+int(b[1]):]
	}
	return ""
}

func comment(s string) []byte { return append(append([]byte{commentType, byte(len(s) + 1)}, s...), 0) }

// content returns the rules of one of our tables, in the order of our chains, and
// what else there is in it.
func (c *Conn) content(ctx context.Context, family rpdb.Family) (rules []rule, unknown []string, err error) {
	standing, strangers, err := c.chains(ctx, family)
	if err != nil {
		return nil, nil, err
	}
	unknown = append(unknown, strangers...)
	rules, err = c.rules(ctx, family)
	if err != nil {
		return nil, nil, err
	}
	for _, ch := range standing {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.chain == ch }) {
			unknown = append(unknown, fmt.Sprintf("chain %s (%v) is empty", ch, family))
		}
	}
	for _, other := range []struct {
		ask  uint16
		what string
	}{{getSet, "set"}, {getObject, "object"}, {getFlow, "flowtable"}} {
		err := c.named(ctx, family, other.ask, func(name string) {
			unknown = append(unknown, fmt.Sprintf("%s %q (%v) is not ours", other.what, name, family))
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return rules, unknown, nil
}

// chains returns the names of those of our chains that stand, and what is said of
// others.
func (c *Conn) chains(ctx context.Context, family rpdb.Family) (names, unknown []string, err error) {
	_, err = c.nl.Dump(ctx, netlink.NewEncoder(nil, getChain, 0, head(family, 0)), func(m netlink.Message) error {
		got, table, err := decodeChain(m)
		if err != nil || table != tableName {
			return err
		}
		if slices.Contains(chains(), got) {
			names = append(names, got.name)
		} else {
			unknown = append(unknown, fmt.Sprintf("chain %q (%v) is not ours", got.name, family))
		}
		return nil
	})
	return names, unknown, err
}

func decodeChain(m netlink.Message) (got chain, table string, err error) {
	d, err := attributes(m)
	if err != nil {
		return got, "", err
	}
	for d.Next() {
		switch d.Type() {
		case 1:
			table = d.String()
		case 3:
			got.name = d.String()
		case 4:
			n := d.Nest()
			for n.Next() {
				switch n.Type() {
				case 1:
					got.hook = n.NetUint32()
				case 2:
					got.priority = int32(n.NetUint32())
				}
			}
			d.Join(&n)
		case 5:
			if d.NetUint32() != verdictAccept {
				got.typ = "a policy that drops"
			}
		case 7:
			if got.typ == "" {
				got.typ = d.String()
			}
		}
	}
	return got, table, d.Err()
}

func (c *Conn) rules(ctx context.Context, family rpdb.Family) ([]rule, error) {
	var all []rule
	e := netlink.NewEncoder(nil, getRule, 0, head(family, 0))
	e.String(1, tableName)
	_, err := c.nl.Dump(ctx, e, func(m netlink.Message) error {
		d, err := attributes(m)
		if err != nil {
			return err
		}
		var r rule
		table := ""
		for d.Next() {
			switch d.Type() {
			case 1:
				table = d.String()
			case 2:
				r.chain = d.String()
			case 4:
				if r.exprs, err = decodeExprs(d.Nest()); err != nil {
					return err
				}
			case 7:
				r.comment = commentOf(d.Data())
			}
		}
		if table == tableName {
			all = append(all, r)
		}
		return d.Err()
	})
	return inOrder(all, func(rule) int { return 0 }), err
}

// named lists the names of sets, objects and flow tables, all of which have the
// table in their first attribute and the name in the second.
func (c *Conn) named(ctx context.Context, family rpdb.Family, ask uint16, each func(name string)) error {
	e := netlink.NewEncoder(nil, ask, 0, head(family, 0))
	e.String(1, tableName)
	_, err := c.nl.Dump(ctx, e, func(m netlink.Message) error {
		d, err := attributes(m)
		table, name := "", ""
		for err == nil && d.Next() {
			switch d.Type() {
			case 1:
				table = d.String()
			case 2:
				name = d.String()
			}
		}
		if table == tableName {
			each(name)
		}
		return errors.Join(err, d.Err())
	})
	return err
}
