package ipcmd

import "strings"

// objects are ip's objects in the order in which it tries what was typed.
func objects() []string {
	return []string{
		"address", "addrlabel", "maddress", "route", "rule", "neighbor", "neighbour", "ntable", "ntbl", "link",
		"l2tp", "fou", "ila", "macsec", "tunnel", "tunl", "tuntap", "tap", "token", "tcpmetrics", "tcp_metrics",
		"monitor", "xfrm", "mroute", "mrule", "netns", "netconf", "vrf", "sr", "nexthop", "mptcp", "ioam", "help", "stats",
	}
}

// objectOf returns the object that a word, or the beginning of one, means, ""
// for none. The empty word means nothing.
func objectOf(word string) string {
	switch word {
	case "":
		return ""
	case "rule", "route": // as most batches have it
		return word
	}
	for _, o := range objects() {
		if strings.HasPrefix(o, word) {
			return o
		}
	}
	return ""
}

// objectOfName returns the object in a program's name, such as rule in iprule.
func objectOfName(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if len(name) <= 2 {
		return ""
	}
	return objectOf(name[2:])
}

// IsName reports whether a program that was called by a name is to be ip(8): by
// "ip", or with an object behind it as in "iprule", in whatever folder.
func IsName(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	return base == "ip" || strings.HasPrefix(base, "ip") && objectOfName(base) != ""
}

// unknownObject is the complaint about a word that no version of ip knows.
func unknownObject(word string) error {
	return fail(1, "Object \"%s\" is unknown, try \"ip help\".\n", word)
}
