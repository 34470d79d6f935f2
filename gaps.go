package rpdb

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
)

// Parts is a set of parts of a [Snapshot]. The zero value is the empty set. In
// JSON it is a list of words.
type Parts uint16

// The parts that a snapshot may lack that was not read from a kernel. Without
// the routes of a family, every lookup in a table of it that holds none is
// unknown; without addresses, what depends on a source that is to be chosen is;
// without masters, what an interface decides that may belong to a VRF. What
// stands in the place of the others is said by whoever made the snapshot.
const (
	PartRules4     Parts = 1 << iota // the rules of IPv4; those of a new namespace stand there
	PartRules6                       // the rules of IPv6
	PartRoutes4                      // the routes of IPv4
	PartRoutes6                      // the routes of IPv6
	PartLinks                        // some interface, which is there by its name only
	PartMasters                      // of some interface that others belong to, whether it is a VRF
	PartAddresses                    // the addresses
	PartNeighbours                   // the neighbour table
	PartNexthops                     // the nexthop objects
	PartNAT                          // what our table of nftables holds
)

func partWords() []string {
	return []string{"rules_ipv4", "rules_ipv6", "routes_ipv4", "routes_ipv6", "links", "masters", "addresses", "neighbours", "nexthop_objects", "nat"}
}

// Has reports whether all of the given parts are in the set.
func (p Parts) Has(parts Parts) bool { return p&parts == parts }

// MarshalJSON writes a list of words.
func (p Parts) MarshalJSON() ([]byte, error) { return marshalSet(p, partWords()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Parts) UnmarshalJSON(data []byte) error {
	return unmarshalSet(data, "part of a snapshot", partWords(), p)
}

// Settings is a set of the settings in [LinkSysctls]. The zero value is the
// empty set. In JSON it is a list of words.
type Settings uint16

// The settings of an interface.
const (
	SettingForwarding4 Settings = 1 << iota
	SettingForwarding6
	SettingRPFilter
	SettingSrcValidMark
	SettingAcceptLocal
	SettingRouteLocalnet
	SettingIgnoreLinkdown4
	SettingIgnoreLinkdown6
	SettingDisableIPv6
	SettingSendRedirects

	AllSettings = SettingSendRedirects<<1 - 1
)

func settingWords() []string {
	return []string{
		"forwarding_ipv4", "forwarding_ipv6", "rp_filter", "src_valid_mark", "accept_local", "route_localnet",
		"ignore_routes_with_linkdown_ipv4", "ignore_routes_with_linkdown_ipv6", "disable_ipv6", "send_redirects",
	}
}

// Has reports whether all of the given settings are in the set.
func (s Settings) Has(settings Settings) bool { return s&settings == settings }

// MarshalJSON writes a list of words.
func (s Settings) MarshalJSON() ([]byte, error) { return marshalSet(s, settingWords()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Settings) UnmarshalJSON(data []byte) error {
	return unmarshalSet(data, "setting", settingWords(), s)
}

// marshalSet writes the words of the bits that are set, or the numbers of those
// that have none.
func marshalSet[T ~uint16](set T, words []string) ([]byte, error) {
	list := []string{}
	for rest := uint16(set); rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros16(rest)
		word := strconv.Itoa(i)
		if i < len(words) {
			word = words[i]
		}
		list = append(list, word)
	}
	return json.Marshal(list)
}

// unmarshalSet reads a list of words. Null leaves the set as it is.
func unmarshalSet[T ~uint16](data []byte, kind string, words []string, set *T) error {
	var list []string
	if err := json.Unmarshal(data, &list); err != nil || list == nil {
		return err
	}
	var read T
	for _, word := range list {
		i := slices.Index(words, word)
		if n, err := strconv.ParseUint(word, 10, 4); err == nil && i < 0 {
			i = int(n)
		}
		if i < 0 {
			return fmt.Errorf("parse %s %q: unknown word", kind, word)
		}
		read |= 1 << i
	}
	*set = read
	return nil
}

// TableRef is a table of one family. It is comparable.
type TableRef struct {
	Family Family  `json:"family"`
	Table  TableID `json:"table"`
}

// Lacks reports whether it is unknown what a table of a family holds: it is one
// of [Snapshot.MissingTables], or all routes of the family are missing and none
// of this table is there all the same.
func (s *Snapshot) Lacks(f Family, t TableID) bool {
	if slices.Contains(s.MissingTables, TableRef{f, t}) {
		return true
	}
	all := PartRoutes4
	if f == IPv6 {
		all = PartRoutes6
	}
	return s.Missing.Has(all) && !slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Family == f && r.Table == t })
}
