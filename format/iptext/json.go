package iptext

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"strings"

	"rpdb"
)

// arrayKind says what an array lists, by the fields of its first object that
// has any.
func arrayKind(text string) Kind {
	var objects []map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &objects) != nil {
		return damagedKind(text)
	}
	for _, o := range objects {
		if kind := objectKind(func(key string) bool { _, ok := o[key]; return ok }); kind != Other {
			return kind
		}
	}
	return Other
}

// damagedKind guesses what an array lists that is not JSON, so that its reader
// says where it is not.
func damagedKind(text string) Kind {
	return objectKind(func(key string) bool { return strings.Contains(text, `"`+key+`"`) })
}

func objectKind(has func(key string) bool) Kind {
	switch {
	case has("priority") && has("src"):
		return Rules
	case has("ifindex") && has("ifname"):
		return Links
	case has("dst") && has("state"), has("dst") && has("lladdr"):
		return Neighbours
	case has("dst"):
		return Routes
	case has("id") && (has("gateway") || has("dev") || has("group") || has("blackhole")):
		return Nexthops
	}
	return Other
}

// unmarshal reads an array of ip into a list.
func unmarshal[T any](e Entry, list *[]T) error {
	err := json.Unmarshal([]byte(e.Text), list)
	if err == nil {
		return nil
	}
	offset := int64(0)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset - 1
	case errors.As(err, &wrong):
		offset = wrong.Offset - 1
	}
	text, _, _ := strings.Cut(e.Text[max(min(int(offset), len(e.Text)), 0):], "\n")
	return e.Fail(int(offset), text, "not the JSON of ip: "+err.Error())
}

// jsonLink is an object of "ip -j link" and "ip -j addr".
type jsonLink struct {
	Index       uint32   `json:"ifindex"`
	Name        string   `json:"ifname"`
	Flags       []string `json:"flags"`
	MTU         uint32   `json:"mtu"`
	Group       string   `json:"group"`
	Master      string   `json:"master"`
	AltNames    []string `json:"altnames"`
	Promiscuity *int     `json:"promiscuity"`
	Info        struct {
		Kind     string   `json:"info_kind"`
		Data     jsonData `json:"info_data"`
		Port     string   `json:"info_slave_kind"`
		PortData jsonData `json:"info_slave_data"`
	} `json:"linkinfo"`
	Addresses []map[string]json.RawMessage `json:"addr_info"`
}

// jsonData is what a kind has to tell: of a VRF the table.
type jsonData struct {
	Table json.RawMessage `json:"table"`
}

func (d jsonData) table(kind string, n rpdb.Names) (rpdb.TableID, bool) {
	if kind != "vrf" {
		return 0, true
	}
	return n.TableByName(strings.Trim(string(d.Table), `"`))
}

func readLinkArray(e Entry, names rpdb.Names) ([]Link, error) {
	var objects []jsonLink
	if err := unmarshal(e, &objects); err != nil {
		return nil, err
	}
	var all []Link
	for _, o := range objects {
		if o.Index == 0 && o.Name == "" { // which a filter hid
			continue
		}
		l, err := o.read(e, names)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func (o jsonLink) read(e Entry, names rpdb.Names) (Link, error) {
	l := Link{
		Link:   rpdb.Link{Index: rpdb.LinkIndex(o.Index), Name: rpdb.LinkName(o.Name), MTU: o.MTU, Kind: o.Info.Kind},
		Master: rpdb.LinkName(o.Master), Port: o.Info.Port, Detailed: o.Promiscuity != nil || o.Info.Kind != "", Entry: e,
		Named: o.Flags == nil && o.MTU == 0,
	}
	for _, name := range o.AltNames {
		l.AltNames = append(l.AltNames, rpdb.LinkName(name))
	}
	ok := true
	if o.Index == 0 || o.Index > math.MaxInt32 || !isLinkName(o.Name) {
		return l, e.FailWord(o.Name, "not an interface")
	}
	if l.Link.Flags, ok = linkFlags(o.Flags); !ok {
		return l, e.FailWord(o.Name, "flags of the interface that are not known")
	}
	if o.Group != "" {
		if l.Link.Group, ok = names.GroupByName(o.Group); !ok {
			return l, e.FailWord(o.Group, "no interface group has this name here")
		}
	}
	if l.Link.VRFTable, ok = o.Info.Data.table(o.Info.Kind, names); !ok {
		return l, e.FailWord(o.Name, "the table of the VRF is not known")
	}
	if l.PortTable, ok = o.Info.PortData.table(o.Info.Port, names); !ok {
		return l, e.FailWord(o.Name, "the table of its VRF is not known")
	}
	for _, fields := range o.Addresses {
		if len(fields) == 0 { // which a filter hid
			continue
		}
		a, word, ok := jsonAddress(fields, names)
		if !ok {
			return l, e.FailWord(word, "not an address of "+o.Name)
		}
		a.Link = l.Link.Index
		l.Addresses = append(l.Addresses, a)
	}
	return l, nil
}

// jsonAddress reads the fields of an address; if it cannot, it returns the one
// that is wrong, or the address.
func jsonAddress(fields map[string]json.RawMessage, names rpdb.Names) (a rpdb.Address, wrong string, ok bool) {
	var family, local, peer, scope string
	var length, valid, preferred uint32
	for key, to := range map[string]any{
		"family": &family, "local": &local, "address": &peer, "scope": &scope,
		"prefixlen": &length, "valid_life_time": &valid, "preferred_life_time": &preferred,
	} {
		if value, given := fields[key]; given && json.Unmarshal(value, to) != nil {
			return a, key, false
		}
	}
	if local == "" {
		local, peer = peer, ""
	}
	addr, _, ok := readAddress(local, family == "inet6")
	if !ok || int(length) > addr.BitLen() {
		return a, local, false
	}
	if peer != "" {
		if a.Peer, _, ok = readAddress(peer, family == "inet6"); !ok {
			return a, peer, false
		}
	}
	if a.Scope, ok = names.ScopeByName(scope); !ok {
		return a, local, false
	}
	a.Prefix, a.Flags = netip.PrefixFrom(addr, int(length)), rpdb.AddressPermanent
	if valid != math.MaxUint32 {
		a.Valid = valid
	}
	if preferred != math.MaxUint32 {
		a.Preferred = preferred
	}
	for key, value := range fields {
		switch on := string(value) == "true"; {
		case on && key == "dynamic":
			a.Flags &^= rpdb.AddressPermanent
		case on:
			a.Flags |= addressFlag(key)
		}
	}
	return a, "", true
}

func readNeighbourArray(e Entry) ([]Neighbour, error) {
	var objects []struct {
		Dst   string   `json:"dst"`
		Dev   string   `json:"dev"`
		State []string `json:"state"`
		Proxy any      `json:"proxy"`
	}
	if err := unmarshal(e, &objects); err != nil {
		return nil, err
	}
	var all []Neighbour
	for _, o := range objects {
		n := Neighbour{Dev: rpdb.LinkName(o.Dev), Entry: e}
		if o.Dst == "" || o.State == nil {
			continue // hidden, or a proxy
		}
		var ok bool
		if n.Neighbour.Addr, _, ok = readAddress(o.Dst, strings.Contains(o.Dst, ":")); !ok || o.Dev == "" {
			return nil, e.FailWord(o.Dst, "not a neighbour")
		}
		for _, word := range o.State {
			bit := neighbourState(word)
			if bit == 0 && word != "NONE" {
				return nil, e.FailWord(word, "not a state of a neighbour")
			}
			n.Neighbour.State |= bit
		}
		all = append(all, n)
	}
	return all, nil
}
