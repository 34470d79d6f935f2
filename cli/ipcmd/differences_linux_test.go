package ipcmd

import (
	"regexp"
	"slices"
	"strings"
)

// difference is a kind of commands about which an ip and ours, which does what
// 7.1 does, are meant to differ.
type difference struct {
	reason string
	// below is the first release that does not differ so, the zero value for
	// none.
	below release
	// command reports whether a command is of the kind, by its words: it is
	// not run.
	command func(words []string) bool
	// lines is command for all lines of a batch together.
	lines func(lines [][]string) bool
	// outcome reports whether it is by what the real ip did.
	outcome func(c command, theirs outcome) bool
	// kernels reports whether it is by what the kernels have then.
	kernels func(c command, theirs, ours string) bool
}

// withoutTrap leaves out the warning about rules that drop what they should
// translate, which is meant to be a line more than ip has: nothing else about such
// a command may differ.
func withoutTrap(o outcome) outcome {
	o.stderr = strings.ReplaceAll(o.stderr, natTrap+"\n", "")
	return o
}

// differences lists those of a release. Nothing else may differ.
func (p peer) differences() []difference {
	return slices.DeleteFunc(differences(), func(d difference) bool { return d.below != release{} && !p.before(d.below) })
}

// differences lists all of them.
func differences() []difference { return slices.Concat(ruleDifferences(), routeDifferences()) }

// ruleDifferences lists those about rules, and about any object.
func ruleDifferences() []difference {
	return []difference{
		{
			reason:  "7.1 takes no interface to be called . or .., 6.15 does",
			below:   withNames,
			command: func(words []string) bool { return slices.Contains(words, ".") || slices.Contains(words, "..") },
		},
		{
			reason:  "in a batch, ip takes the answer to a command with -echo for the answer to the next one",
			command: func(words []string) bool { return slices.Contains(words, "-echo") && slices.Contains(words, "-batch") },
		},
		{
			reason: "the JSON of -echo is not JSON in ip, and is printed also when nothing was done",
			command: func(words []string) bool {
				return slices.Contains(words, "-echo") && slices.ContainsFunc(words, isJSON)
			},
		},
		{
			reason: "a list that the kernel refuses left half a JSON array behind in 6.1",
			below:  withMasks,
			command: func(words []string) bool {
				return slices.ContainsFunc(words, isJSON) && slices.ContainsFunc(words, func(w string) bool {
					return slices.Contains([]string{"-M", "-B", "-0", "link", "bridge", "mpls"}, w)
				})
			},
		},
		{
			reason: "ip takes the words of actions, realms and suppressors in a list for prefixes",
			outcome: func(_ command, theirs outcome) bool {
				m := notAPrefix.FindStringSubmatch(theirs.stderr)
				return m != nil && m[1] != "" && slices.ContainsFunc(filterWords, func(w string) bool { return strings.HasPrefix(w, m[1]) })
			},
		},
		{
			reason: "ip takes a name that comes again after a number of its kind for that number",
			lines:  nameAfterNumber,
		},
		{
			reason: "ip ignores the protocol in a list",
			command: func(words []string) bool {
				return lists(words) && slices.ContainsFunc(words, func(w string) bool { return len(w) > 2 && strings.HasPrefix("protocol", w) })
			},
		},
		{
			reason: "7.1 is strict about ports, 6.1 wraps them and takes what stands behind them",
			below:  withMasks,
			command: func(words []string) bool {
				for i, w := range words {
					if i > 0 && (words[i-1] == "sport" || words[i-1] == "dport") && !plainPorts.MatchString(w) {
						return true
					}
				}
				return false
			},
		},
	}
}

// lists reports whether a command lists rules, by the word behind "rule".
func lists(words []string) bool {
	i := slices.IndexFunc(words, func(w string) bool { return len(w) > 1 && strings.HasPrefix("rule", w) })
	if i < 0 || i+1 == len(words) {
		return i >= 0
	}
	verb := words[i+1]
	return verb != "" && slices.ContainsFunc([]string{"list", "lst", "show"}, func(w string) bool { return strings.HasPrefix(w, verb) })
}

func isJSON(w string) bool {
	return len(w) > 1 && w[0] == '-' && w != "--" && strings.HasPrefix("-json", "-"+strings.TrimLeft(w, "-"))
}

// filterWords are what our lists take and those of ip do not.
var filterWords = []string{
	"realms", "suppress_prefixlength", "suppress_ifgroup", "sup_pl", "sup_group", "type", "goto", "nop", "nat", "map-to",
	"local", "broadcast", "brd", "anycast", "multicast", "prohibit", "unreachable", "blackhole", "xresolve", "unicast", "throw", "protocol",
}

var notAPrefix = regexp.MustCompile(`(?:prefix is expected rather than|^Error:) "([a-z_-]*)"(?:\.| may be inet prefix)`)

// plainPorts is what every version understands.
var plainPorts = regexp.MustCompile(`^[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?$`)

// usageText is the help of an object, which names what its version knows.
var usageText = regexp.MustCompile(`(?s)Usage: ip rule .*?TABLE_ID := \[ [^\n]*\n|Usage: ip route .*\z`)

// portMask is what 7.1 shows of a port in JSON and 6.1 does not know.
var portMask = regexp.MustCompile(`,\s*"[sd]port_mask": ?"0xffff"`)

// olderWords are what 6.1 says otherwise about routes.
var olderWords = strings.NewReplacer(" is a garbage.", " is garbage.", `unexpected end of line after "encap"`, `argument "encap type" is required`)

// comparable returns what of an output must be the same.
func (p peer) comparable(o outcome) outcome {
	o.stderr = usageText.ReplaceAllString(o.stderr, "(the help)\n")
	if p.before(withDark) {
		o.stdout = strings.ReplaceAll(o.stdout, "\x1b[1;34m", "\x1b[1;94m")
	}
	o.stdout = withoutClock(o.stdout)
	if o.code == 0 { // of a restore of routes that are there, about which ours says nothing
		o.stderr = strings.ReplaceAll(o.stderr, "RTNETLINK answers: File exists\n", "")
	}
	o.stderr = olderWords.Replace(o.stderr)
	if p.before(withEscapes) && strings.HasPrefix(o.stdout, "[") {
		o.stdout = strings.ReplaceAll(o.stdout, "\x01", `\u0001`)
	}
	if p.before(withMasks) {
		o.stdout = portMask.ReplaceAllString(o.stdout, "")
	}
	return o
}

// background returns the COLORFGBG with which a peer shows the colours that ours
// shows with the given one.
func (p peer) background(colors string) string {
	if p.before(withDark) && !strings.Contains(colors, ";") {
		return ";0"
	}
	return colors
}

// allWords returns the words of a command, and those of each line of a batch.
func (c command) allWords() [][]string {
	lines := [][]string{c.args}
	for line := range strings.Lines(c.text) {
		words := strings.Fields(line)
		for i, w := range words {
			words[i] = strings.Trim(w, `"`)
		}
		lines = append(lines, words)
	}
	return lines
}

// meantToDiffer returns the reason why a command is not compared, "" if it is.
func (p peer) meantToDiffer(c command) string {
	lines := c.allWords()
	for _, d := range p.differences() {
		if d.lines != nil && d.lines(lines) || d.command != nil && slices.ContainsFunc(lines, d.command) {
			return d.reason
		}
	}
	return ""
}

// meantToEndSo is meantToDiffer once the command was run.
func (p peer) meantToEndSo(c command, theirs outcome) bool {
	return slices.ContainsFunc(p.differences(), func(d difference) bool { return d.outcome != nil && d.outcome(c, theirs) })
}

// meantToLeave is meantToDiffer once what the kernels have was read.
func (p peer) meantToLeave(c command, theirs, ours string) bool {
	return slices.ContainsFunc(p.differences(), func(d difference) bool { return d.kernels != nil && d.kernels(c, theirs, ours) })
}
