package ipcmd

import (
	"encoding/binary"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// routeDifferences lists the differences about routes.
func routeDifferences() []difference {
	return []difference{
		{
			reason: "options that name geneve, vxlan and erspan stop Linux 6.18: no test sends them",
			command: func(words []string) bool {
				return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "_opts") })
			},
		},
		{
			reason: "routes of other families than IP's are the system's ip's",
			command: func(words []string) bool {
				return slices.ContainsFunc(words, isForeignFamily) && slices.ContainsFunc(words, func(w string) bool {
					return w == "-batch" || w != "" && strings.HasPrefix("route", w)
				})
			},
		},
		{
			reason: "the JSON of a list that the kernel refuses is half an array in ip, and that of two answers is one and a text",
			command: func(words []string) bool {
				return slices.ContainsFunc(words, isJSON) && slices.ContainsFunc(words, isConnected)
			},
			outcome: func(_ command, theirs outcome) bool {
				return strings.HasPrefix(theirs.stdout, "[") && strings.HasSuffix(theirs.stderr, "Dump terminated\n")
			},
		},
		{
			reason: "under -json ip ends a stream of saved routes with an empty array, and shows one as text",
			command: func(words []string) bool {
				return slices.ContainsFunc(words, isJSON) && slices.ContainsFunc(words, func(w string) bool {
					return len(w) > 1 && strings.HasPrefix("save", w) || len(w) > 4 && strings.HasPrefix("showdump", w)
				})
			},
		},
		{
			reason: "6.15 has an object for a tunnel in JSON, 6.1 mixes its fields with those of the route",
			below:  withMasks,
			outcome: func(_ command, theirs outcome) bool {
				return strings.HasPrefix(theirs.stdout, "[") && strings.Contains(theirs.stdout, `"encap":`)
			},
		},
		{
			reason: "7.2 takes several features, 6.15 one",
			below:  withNames,
			command: func(words []string) bool {
				return slices.Contains(words, "ecn") && lastIndex(words, "ecn") != slices.Index(words, "ecn")
			},
		},
		{
			reason:  "ip ignores what stands behind encap xfrm",
			command: func(words []string) bool { return slices.Contains(words, "xfrm") },
		},
		{
			reason: "ip restores no routes with several nexthops, with nexthop objects or on links that are down, and stops there",
			outcome: func(c command, theirs outcome) bool {
				return c.file != "" && theirs.code == 2 && slices.ContainsFunc(c.args, isRestore)
			},
		},
		{
			reason: "ip restores a route in front of those of its key that are there, turns those of one key around, and doubles IPv6's own local routes",
			kernels: func(c command, theirs, ours string) bool {
				return c.file != "" && slices.ContainsFunc(c.args, isRestore) && slices.Equal(sortedLines(theirs), sortedLines(ours))
			},
		},
		{
			reason:  "6.15 finds routes with several nexthops by their interfaces, 6.1 does not",
			below:   withMasks,
			outcome: func(c command, _ outcome) bool { return slices.ContainsFunc(c.allWords(), selectsByLink) },
		},
		{
			reason: "in a batch, ip selects routes that lead nowhere by any interface",
			outcome: func(c command, _ outcome) bool {
				return c.text != "" && slices.ContainsFunc(c.allWords(), selectsByLink)
			},
		},
		{
			reason:  "ip takes the acknowledgement of a change that changed nothing for its echo, and says that it is no route",
			outcome: func(_ command, theirs outcome) bool { return strings.HasPrefix(theirs.stderr, "Not a route: ") },
		},
		{
			reason: "ip flushes no routes with a nexthop object",
			outcome: func(_ command, theirs outcome) bool {
				return strings.Contains(theirs.stderr, "Failed to send flush request: ")
			},
		},
	}
}

func lastIndex(words []string, word string) int {
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] == word {
			return i
		}
	}
	return -1
}

// isForeignFamily reports whether an option, or the value of one, is a family
// without routes of ours.
func isForeignFamily(w string) bool {
	return slices.Contains([]string{"-M", "-B", "-0", "link", "bridge", "mpls"}, w)
}

// selectsByLink reports whether a command selects routes by an interface.
func selectsByLink(words []string) bool {
	i := slices.IndexFunc(words, func(w string) bool { return w != "" && strings.HasPrefix("route", w) })
	if i < 0 || i+2 >= len(words) || words[i+1] == "" {
		return false
	}
	selects := slices.ContainsFunc([]string{"list", "lst", "show", "flush", "save"}, func(v string) bool { return strings.HasPrefix(v, words[i+1]) })
	return selects && (slices.Contains(words[i+2:], "dev") || slices.Contains(words[i+2:], "oif"))
}

func isRestore(w string) bool { return len(w) > 2 && strings.HasPrefix("restore", w) }

// sortedLines returns the messages of a kernel without the local routes of IPv6
// that have a metric: the kernel's own have none. The link of some is down.
func sortedLines(state string) []string {
	doubled := regexp.MustCompile(`^0a80....ff0200(02|04)(00|10)000000.*0800060000040000`)
	return slices.DeleteFunc(slices.Sorted(strings.Lines(state)), doubled.MatchString)
}

func isConnected(w string) bool { return w != "" && strings.HasPrefix("connected", w) }

// clocks is what of the output about a route runs on, and ages is the time since
// its last use, which is not told as long as it is 0.
var (
	clocks = regexp.MustCompile(`((?:expires|users|used) |"(?:expires|users|used)": ?)-?[0-9]+`)
	ages   = regexp.MustCompile(`age -?[0-9]+sec |,\s*"age": ?-?[0-9]+`)
)

// routeMagic is what a stream of saved routes begins with.
const routeMagic = "\x24\x12\x31\x45"

// withoutClock returns an output without what tells the time, or who asked the
// kernel.
func withoutClock(out string) string {
	if !strings.HasPrefix(out, routeMagic) {
		return clocks.ReplaceAllString(ages.ReplaceAllString(out, ""), "${1}N")
	}
	stream := []byte(out)
	for rest := stream[len(routeMagic):]; len(rest) >= unix.SizeofNlMsghdr; {
		n := int(binary.NativeEndian.Uint32(rest))
		if n < unix.SizeofNlMsghdr+unix.SizeofRtMsg || n > len(rest) {
			break
		}
		clear(rest[8:16]) // sequence number and port
		stopClock(rest[unix.SizeofNlMsghdr+unix.SizeofRtMsg : n])
		rest = rest[n:]
	}
	return string(stream)
}
