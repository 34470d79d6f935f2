package iptext

import (
	"strconv"
	"strings"

	"rpdb"
)

// Neighbour is an entry of the neighbour table, with the name of its interface.
type Neighbour struct {
	Neighbour rpdb.Neighbour // without Link
	Dev       rpdb.LinkName
	Entry     Entry
}

// Neighbours reads a section of neighbours. Proxies are left out: they are none.
func (s Section) Neighbours() ([]Neighbour, error) {
	var all []Neighbour
	for _, e := range s.Entries {
		if s.JSON {
			list, err := readNeighbourArray(e)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
			continue
		}
		n, ok, err := readNeighbour(e)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, n)
		}
	}
	return all, nil
}

// readNeighbour reads a line; ok is false for a proxy.
func readNeighbour(e Entry) (n Neighbour, ok bool, err error) {
	words := strings.Fields(e.Text)
	n.Entry = e
	if n.Neighbour.Addr, _, ok = readAddress(words[0], strings.Contains(words[0], ":")); !ok {
		return n, false, e.FailWord(words[0], "not an address")
	}
	state := false
	for rest := words[1:]; len(rest) > 0; {
		key := rest[0]
		rest = rest[1:]
		switch key {
		case "dev", "lladdr", "used", "ref", "probes", "proto":
			if len(rest) == 0 {
				return n, false, e.Fail(len(e.Text), "", "the listing of the neighbour stops short")
			}
			if key == "dev" {
				n.Dev = rpdb.LinkName(rest[0])
			}
			// Without a space between them in some releases.
			if glued := key == "used" && strings.HasSuffix(rest[0], "probes"); glued && len(rest) > 1 {
				rest = rest[1:]
			}
			rest = rest[1:]
		case "router", "extern_learn", "offload", "managed":
		case "proxy":
			return n, false, nil
		case "NONE":
			state = true
		default:
			bit := neighbourState(key)
			if bit == 0 {
				return n, false, e.FailWord(key, "not a word of the listing of a neighbour")
			}
			n.Neighbour.State |= bit
			state = true
		}
	}
	if n.Dev == "" || !state {
		return n, false, e.Fail(len(e.Text), "", "the listing of the neighbour stops short")
	}
	return n, true, nil
}

func neighbourState(word string) rpdb.NeighbourState {
	switch word {
	case "INCOMPLETE":
		return rpdb.NeighbourIncomplete
	case "REACHABLE":
		return rpdb.NeighbourReachable
	case "STALE":
		return rpdb.NeighbourStale
	case "DELAY":
		return rpdb.NeighbourDelay
	case "PROBE":
		return rpdb.NeighbourProbe
	case "FAILED":
		return rpdb.NeighbourFailed
	case "NOARP":
		return rpdb.NeighbourNoARP
	case "PERMANENT":
		return rpdb.NeighbourPermanent
	}
	return 0
}

// Setting is a kernel setting, by its name with slashes below "net/": the names
// of interfaces may have dots, which sysctl writes as slashes.
type Setting struct {
	Name, Value string
	Entry       Entry
}

// Settings reads a section of settings: the lines of sysctl, without those that
// are not below net, and those of "ip netconf".
func (s Section) Settings() ([]Setting, error) {
	var all []Setting
	for _, e := range s.Entries {
		line, _, _ := strings.Cut(e.Text, "\n") // a value may go on
		words := strings.Fields(line)
		if words[0] == "inet" || words[0] == "inet6" {
			list, err := readNetconf(e, words)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = keyPath(strings.TrimSpace(name)); ok && strings.HasPrefix(name, "net/") {
			all = append(all, Setting{strings.TrimPrefix(name, "net/"), strings.TrimSpace(value), e})
		}
	}
	return all, nil
}

// isSetting reports whether a line looks like one of sysctl: a value, or why
// there is none.
func isSetting(line string) bool {
	if strings.HasPrefix(line, "sysctl: ") {
		return true
	}
	name, _, ok := strings.Cut(line, "=")
	name = strings.TrimSpace(name)
	top, _, hasDot := strings.Cut(keyPath(name), "/")
	switch top {
	case "abi", "crypto", "debug", "dev", "fs", "kernel", "net", "sunrpc", "user", "vm", "xen":
		return ok && hasDot && !strings.ContainsAny(name, " \t")
	}
	return false
}

// keyPath turns the separators of a key into those of a path. As for sysctl, the
// first one in the key tells which of the two separates.
func keyPath(key string) string {
	i := strings.IndexAny(key, "./")
	if i < 0 || key[i] == '/' {
		return key
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(key)
}

// readNetconf reads a line of "ip netconf" into the settings that it stands
// for.
func readNetconf(e Entry, words []string) ([]Setting, error) {
	family := map[string]string{"inet": "ipv4", "inet6": "ipv6"}[words[0]]
	var all []Setting
	for rest := words[2:]; len(rest) > 0; rest = rest[2:] {
		if len(rest) == 1 {
			return nil, e.Fail(len(e.Text), "", "the listing of settings stops short")
		}
		value, ok := map[string]string{"off": "0", "on": "1", "strict": "1", "loose": "2"}[rest[1]]
		switch rest[0] {
		case "forwarding", "rp_filter", "ignore_routes_with_linkdown":
			if !ok {
				return nil, e.FailWord(rest[1], "not a value of the setting "+rest[0])
			}
			all = append(all, Setting{family + "/conf/" + words[1] + "/" + rest[0], value, e})
		case "mc_forwarding", "proxy_neigh", "input", "bc_forwarding":
		default:
			return nil, e.FailWord(rest[0], "not a word of the listing of settings")
		}
	}
	return all, nil
}

// Number returns the value as a number, or an error about it.
func (s Setting) Number(most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s.Value, 0, 64)
	if err != nil || n > most {
		return 0, s.Entry.FailWord(s.Value, "not a value of the setting net/"+s.Name)
	}
	return n, nil
}
