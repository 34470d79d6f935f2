package iptext

import (
	"path"
	"slices"
	"strings"

	"rpdb"
)

// heading reads a line that stands between listings: a command line, with or
// without the prompt of a shell, or a line that is marked as a heading. A
// heading that names no command has no Object; typed says that it is a command
// all the same, behind a prompt.
func heading(line string) (c Command, typed, ok bool) {
	text := strings.TrimSpace(line)
	content, marked := unmarked(text)
	if !marked {
		content, marked = unprompted(text)
		typed = marked && content != ""
	}
	if !marked {
		content = strings.TrimLeft(text, "%>+ ") // which are prompts before a command only
	}
	words := commandWords(content)
	if len(words) > 0 {
		c = readCommand(words)
		c.Text = strings.TrimSpace(content)
		return c, typed, true
	}
	return Command{Text: text}, typed, marked
}

// unmarked takes off what marks a heading: the sign of a shell or a comment, or a
// row of others.
func unmarked(s string) (string, bool) {
	const signs, rows = "#$<>", "=-*~_+"
	if s[0] == '#' || s[0] == '$' {
		return strings.Trim(s, signs+rows+" \t[]:"), true
	}
	if len(s) > 1 && strings.IndexByte(rows, s[0]) >= 0 && s[0] == s[1] {
		return strings.Trim(s, signs+rows+" \t:"), true
	}
	return "", false
}

// unprompted takes off a prompt, as in "root@host:~# ip rule".
func unprompted(s string) (string, bool) {
	i := strings.IndexAny(s, "#$")
	if i <= 0 || i > longest || i+1 < len(s) && s[i+1] != ' ' {
		return "", false
	}
	prompt := strings.TrimSpace(s[:i])
	if isHostName(s[:i]) && i+1 < len(s) {
		return strings.TrimSpace(s[i+1:]), true
	}
	isShell := strings.HasPrefix(prompt, "bash-") || strings.HasPrefix(prompt, "sh-")
	named := strings.ContainsAny(prompt, "@~") || strings.HasSuffix(prompt, "]") || strings.HasSuffix(prompt, ":/")
	if !isShell && !named || strings.Contains(prompt, "=") {
		return "", false
	}
	return strings.TrimSpace(s[i+1:]), true
}

// isHostName reports whether a prompt may be nothing but the name of a host.
func isHostName(s string) bool {
	first := s[0] | 0x20
	return 'a' <= first && first <= 'z' && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// commandWords returns the words of a command that begins with one of the
// programs that matter, nil for another text. Names of files that hold the
// output of a command have underscores for spaces.
func commandWords(s string) []string {
	if i := strings.LastIndex(s, "/ip_"); i >= 0 || strings.HasPrefix(s, "ip_") {
		s = strings.ReplaceAll(s[i+1:], "_", " ")
	}
	words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(s), ":"))
	for len(words) > 0 && slices.Contains([]string{"sudo", "doas", "output", "of", "Command:", "command:"}, words[0]) {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	first := strings.Trim(words[0], "\"'`")
	switch path.Base(first) {
	case "ip", "sysctl", "cat":
		words[0] = path.Base(first)
	case "rt_tables", "rt_protos", "group", "rt_realms", "rt_dsfield", "rt_scopes":
		if first == path.Base(first) {
			return nil
		}
		words = []string{"cat", first}
	default:
		return nil
	}
	for i := range words {
		words[i] = strings.Trim(words[i], "\"'`")
	}
	if words[0] == "ip" && len(words) == 1 {
		return nil
	}
	return words
}

// objects are those of ip, in the order in which it looks for a beginning, with
// the word that a Command has for them.
func objects() [][2]string {
	return [][2]string{
		{"address", "address"},
		{"addrlabel", "-"},
		{"maddress", "-"},
		{"route", "route"},
		{"rule", "rule"},
		{"neighbor", "neighbour"},
		{"neighbour", "neighbour"},
		{"ntable", "-"},
		{"ntbl", "-"},
		{"link", "link"},
		{"l2tp", "-"},
		{"fou", "-"},
		{"ila", "-"},
		{"macsec", "-"},
		{"tunnel", "-"},
		{"tunl", "-"},
		{"tuntap", "-"},
		{"tap", "-"},
		{"token", "-"},
		{"tcpmetrics", "-"},
		{"tcp_metrics", "-"},
		{"monitor", "-"},
		{"xfrm", "-"},
		{"mroute", "-"},
		{"mrule", "-"},
		{"netns", "-"},
		{"netconf", "netconf"},
		{"vrf", "-"},
		{"sr", "-"},
		{"nexthop", "nexthop"},
		{"mptcp", "-"},
		{"ioam", "-"},
		{"stats", "-"},
	}
}

// isOurs reports whether the listing of an object is read.
func isOurs(object string) bool { return kindOf(object) != Other || isNames(object) }

// isNames reports whether an object is a file of names.
func isNames(object string) bool {
	return slices.Contains([]string{"rt_tables", "rt_protos", "rt_realms", "rt_dsfield", "rt_scopes", "group"}, object)
}

func kindOf(object string) Kind {
	switch object {
	case "address", "link":
		return Links
	case "route":
		return Routes
	case "rule":
		return Rules
	case "neighbour":
		return Neighbours
	case "nexthop":
		return Nexthops
	case "sysctl", "netconf":
		return Settings
	}
	if isNames(object) {
		return Names
	}
	return Other
}

// readCommand reads a command line.
func readCommand(words []string) Command {
	switch words[0] {
	case "sysctl":
		return Command{Object: "sysctl", Part: !slices.Contains(words, "-a") || slices.Contains(words, "|")}
	case "cat":
		object := "-"
		if len(words) == 2 && isNames(path.Base(words[1])) {
			object = path.Base(words[1])
		}
		return Command{Object: object}
	}
	var c Command
	words = c.options(words[1:])
	if len(words) == 0 {
		return c
	}
	c.Object = "-"
	for _, o := range objects() {
		if strings.HasPrefix(o[0], words[0]) {
			c.Object = o[1]
			break
		}
	}
	c.arguments(words[1:])
	return c
}

// options reads what stands before the object.
func (c *Command) options(words []string) []string {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		word := words[0]
		words = words[1:]
		value := ""
		if (strings.HasPrefix("-family", word) || strings.HasPrefix("-netns", word)) && len(word) > 1 && len(words) > 0 {
			value, words = words[0], words[1:]
		}
		switch {
		case word == "-4" || value == "inet":
			c.Family = rpdb.IPv4
		case word == "-6" || value == "inet6":
			c.Family = rpdb.IPv6
		}
	}
	return words
}

// arguments reads what stands behind the object: the verb, and for routes the
// table. Anything else selects.
func (c *Command) arguments(words []string) {
	if len(words) > 0 && isBeginning(words[0], "show", "list", "lst", "ls") {
		words = words[1:]
	} else if len(words) > 0 && c.Object != "-" && isBeginning(words[0], "get", "add", "delete", "save", "flush", "restore", "monitor", "set", "replace", "change") {
		c.Object = "-"
		return
	}
	for len(words) > 0 {
		switch {
		case c.Object == "route" && isBeginning(words[0], "table") && len(words) > 1:
			c.Table, c.All = words[1], words[1] == "all" || words[1] == "0"
			if words[1] == "cache" {
				c.Object = "-"
			}
			words = words[2:]
		case c.Object == "route" && words[0] == "cache":
			c.Object = "-"
			return
		default:
			c.Part, words = true, nil
		}
	}
	if c.All || c.Table == "main" || c.Table == "254" {
		c.Table = ""
	}
}

func isBeginning(word string, of ...string) bool {
	return slices.ContainsFunc(of, func(w string) bool { return word != "" && strings.HasPrefix(w, word) })
}
