package ipcmd

import (
	"strings"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/iproute2"
)

// Options are what stands before the object. The zero value is ip without any.
type Options struct {
	Family    uint8 // AF_*, 0 for none given
	JSON      bool
	Pretty    bool // with JSON: over several lines
	Details   bool
	Numeric   bool
	Stats     int  // how often -s was given
	Resolve   bool // names of hosts in place of addresses
	OneLine   bool // an entry of several lines on one
	Echo      bool
	Force     bool // a batch goes on after a failure
	Timestamp bool
	Short     bool   // the timestamp on the line itself
	Color     string // "", "always", "auto" or "never"
	InNetNS   bool   // a namespace was given
	NetNS     string // its name or path
	Batch     *string
	// Given are the options as they were understood, in full: "-json".
	Given []string
}

// Listed returns the family that a listing is of: IPv4 if none was given.
func (o Options) Listed() uint8 {
	if o.Family == 0 {
		return uint8(rpdb.IPv4)
	}
	return o.Family
}

// isIP reports whether no other family than those of IP was given.
func (o Options) isIP() bool {
	return o.Family == 0 || o.Family == unix.AF_INET || o.Family == unix.AF_INET6
}

// hasRoutes reports whether routes are for us with these options. Names of hosts
// are what the C library says they are, which the system's ip asks.
func (o Options) hasRoutes() bool { return o.isIP() && !o.Resolve }

// ParseOptions reads the options that args begin with, and returns what stands
// behind them. Abbreviations mean what they mean to ip. The error is ip's.
func ParseOptions(args []string) (o Options, rest []string, err error) { return Options{}.Parse(args) }

// Parse is [ParseOptions] for further options.
func (o Options) Parse(args []string) (all Options, rest []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		word = oneDash(word)
		opt, ok := lookUpOption(word)
		o.Given = append(o.Given, opt.name())
		switch {
		case !ok:
			return o, nil, exit(255, "Option \"%s\" is unknown, try \"ip -help\".\n", word)
		case opt.value == "":
			err = opt.set(&o, word)
		case len(args) == 0:
			return o, nil, opt.missing()
		default:
			err = opt.set(&o, args[0])
			args = args[1:]
		}
		if err != nil {
			return o, nil, err
		}
	}
	return o, args, nil
}

// option is one line of the table of options: the words of which the argument
// may be a beginning, and what the option does with its value, or without one
// with the argument itself.
type option struct {
	words string
	exact bool
	value string // what the value is called, "" for an option without
	set   func(o *Options, value string) error
}

// optionTable is in ip's own order, which decides what an abbreviation means.
func optionTable() []option {
	return []option{
		{words: "-loops", value: "loop count", set: ignored},
		{words: "-family", value: "family type", set: setFamily},
		{words: "-4", exact: true, set: family(unix.AF_INET)},
		{words: "-6", exact: true, set: family(unix.AF_INET6)},
		{words: "-0", exact: true, set: family(unix.AF_PACKET)},
		{words: "-M", exact: true, set: family(unix.AF_MPLS)},
		{words: "-B", exact: true, set: family(unix.AF_BRIDGE)},
		{words: "-human-readable", set: ignored},
		{words: "-iec", set: ignored},
		{words: "-stats -statistics", set: func(o *Options, _ string) error { o.Stats++; return nil }},
		{words: "-details", set: func(o *Options, _ string) error { o.Details = true; return nil }},
		{words: "-resolve", set: func(o *Options, _ string) error { o.Resolve = true; return nil }},
		{words: "-oneline", set: func(o *Options, _ string) error { o.OneLine = true; return nil }},
		{words: "-timestamp", set: func(o *Options, _ string) error { o.Timestamp = true; return nil }},
		{words: "-tshort", set: func(o *Options, _ string) error { o.Timestamp, o.Short = true, true; return nil }},
		{words: "-Version", set: func(*Options, string) error { return ErrVersion }},
		{words: "-force", set: func(o *Options, _ string) error { o.Force = true; return nil }},
		{words: "-batch", value: "batch file", set: func(o *Options, v string) error { o.Batch = &v; return nil }},
		{words: "-brief", set: ignored},
		{words: "-json", set: func(o *Options, _ string) error { o.JSON = true; return nil }},
		{words: "-pretty", set: func(o *Options, _ string) error { o.Pretty = true; return nil }},
		{words: "-rcvbuf", value: "rcvbuf size", set: checkReceiveBuffer},
		{words: "-color", set: setColor},
		{words: "-help", set: func(*Options, string) error { return errHandOver }},
		{words: "-netns", value: "netns", set: setNetNS},
		{words: "-Numeric", set: func(o *Options, _ string) error { o.Numeric = true; return nil }},
		{words: "-all", set: ignored},
		{words: "-echo", exact: true, set: func(o *Options, _ string) error { o.Echo = true; return nil }},
	}
}

// oneDash returns an option without one of the two dashes that it may begin with.
func oneDash(word string) string {
	if strings.HasPrefix(word, "--") {
		return word[1:]
	}
	return word
}

// lookUpOption returns the first option that the word is, or is a beginning
// of. The colour stands behind an equals sign.
func lookUpOption(word string) (option, bool) {
	name, color, hasColor := strings.Cut(word, "=")
	for _, o := range optionTable() {
		switch {
		case o.words == "-color" && strings.HasPrefix(o.words, name):
			if !hasColor || color == "" || color == "always" || color == "auto" || color == "never" {
				return o, true
			}
		case o.exact && word == o.words:
			return o, true
		case !o.exact && abbreviatesAny(word, o.words):
			return o, true
		}
	}
	return option{}, false
}

func abbreviatesAny(word, words string) bool {
	for w := range strings.FieldsSeq(words) {
		if strings.HasPrefix(w, word) {
			return true
		}
	}
	return false
}

// name is the option in full.
func (o option) name() string {
	name, _, _ := strings.Cut(o.words, " ")
	return name
}

// missing is the complaint about an option at the end that wants a value.
func (o option) missing() error {
	if o.value == "netns" { // ip does not look
		return exit(255, "Cannot open network namespace \"(null)\": No such file or directory\n")
	}
	return exit(255, "Error: argument \"%s\" is required\n", o.value)
}

// ignored takes an option that changes nothing about rules and routes.
func ignored(*Options, string) error { return nil }

func family(f uint8) func(*Options, string) error {
	return func(o *Options, _ string) error { o.Family = f; return nil }
}

func setFamily(o *Options, word string) error {
	switch word {
	case "inet":
		o.Family = unix.AF_INET
	case "inet6":
		o.Family = unix.AF_INET6
	case "link":
		o.Family = unix.AF_PACKET
	case "mpls":
		o.Family = unix.AF_MPLS
	case "bridge":
		o.Family = unix.AF_BRIDGE
	case "help":
		return errHandOver
	default:
		return exit(255, "Error: argument \"%s\" is wrong: invalid protocol family\n", word)
	}
	return nil
}

// checkReceiveBuffer checks a size that is not used: our buffers grow.
func checkReceiveBuffer(_ *Options, word string) error {
	if !iproute2.IsNumber(word, 32) {
		return exit(255, "Invalid rcvbuf size '%s'\n", word)
	}
	return nil
}

func setColor(o *Options, word string) error {
	_, o.Color, _ = strings.Cut(word, "=")
	if o.Color == "" {
		o.Color = "always"
	}
	return nil
}

func setNetNS(o *Options, name string) error {
	o.InNetNS, o.NetNS = true, name
	ns, err := openNetNS(name)
	if err == nil {
		err = ns.Close()
	}
	return err
}
