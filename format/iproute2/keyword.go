package iproute2

import (
	"fmt"
	"slices"
	"strings"
)

// RuleVerb is what "ip rule" is told to do. The zero value is no verb.
type RuleVerb uint8

// The verbs of ip-rule(8).
const (
	RuleList RuleVerb = 1 + iota
	RuleSave
	RuleRestore
	RuleAdd
	RuleDelete
	RuleFlush
	RuleHelpVerb
)

// verbWords is the order in which ip tries the verbs.
var verbWords = []verbWord[RuleVerb]{
	{"list", RuleList},
	{"lst", RuleList},
	{"show", RuleList},
	{"save", RuleSave},
	{"restore", RuleRestore},
	{"add", RuleAdd},
	{"delete", RuleDelete},
	{"flush", RuleFlush},
	{"help", RuleHelpVerb},
}

// ParseRuleVerb reads the word after "ip rule". The error is of type
// *[ParseError].
func ParseRuleVerb(word string) (RuleVerb, error) { return parseVerb(verbWords, "rule", word) }

// RuleVerbs lists the words of the verbs, for completion.
func RuleVerbs() []string { return allVerbs(verbWords) }

// String returns the verb's word, as in "list", and "" for no verb.
func (v RuleVerb) String() string { return verbName(verbWords, v) }

// ValueKind says what follows a keyword. The zero kind is nothing.
type ValueKind uint8

// The kinds of values, with what ip's own usage calls them.
const (
	NoValue       ValueKind = iota
	PrefixValue             // PREFIX
	AddressValue            // ADDRESS
	NumberValue             // NUMBER
	MarkValue               // FWMARK[/MASK]
	DSFieldValue            // TOS
	DSCPValue               // DSCP[/MASK]
	LabelValue              // LABEL[/MASK]
	LinkValue               // STRING: the name of an interface
	UIDRangeValue           // NUMBER-NUMBER
	PortsValue              // [ NUMBER[/MASK] | NUMBER-NUMBER ]
	IPProtoValue            // PROTOCOL
	TableValue              // TABLE_ID
	ProtocolValue           // PROTO
	RealmsValue             // [SRCREALM/]DSTREALM
	GroupValue              // DEVGROUP
	TypeValue               // TYPE: one of the actions, or of the types of routes

	// Those of routes.
	VRFValue        // NAME: a VRF
	ScopeValue      // SCOPE
	EnabledValue    // { enabled | disabled }
	EncapValue      // ENCAPTYPE ENCAPHDR
	GatewayValue    // [ FAMILY ] ADDRESS
	NexthopValue    // NH
	LockedValue     // [ lock ] NUMBER
	TimeValue       // [ lock ] TIME: a number, with the unit s or ms
	FeaturesValue   // FEATURES
	BoolValue       // { 0 | 1 }
	NameValue       // NAME: a congestion control
	PreferenceValue // PREF
	FlowLabelValue  // LABEL, without a mask
)

// valueNames are the placeholders of the usage text.
var valueNames = [...]string{
	NoValue: "", PrefixValue: "PREFIX", AddressValue: "ADDRESS", NumberValue: "NUMBER", MarkValue: "FWMARK[/MASK]",
	DSFieldValue: "TOS", DSCPValue: "DSCP[/MASK]", LabelValue: "LABEL[/MASK]", LinkValue: "STRING",
	UIDRangeValue: "NUMBER-NUMBER", PortsValue: "[ NUMBER[/MASK] | NUMBER-NUMBER ]", IPProtoValue: "PROTOCOL",
	TableValue: "TABLE_ID", ProtocolValue: "PROTO", RealmsValue: "[SRCREALM/]DSTREALM", GroupValue: "DEVGROUP",
	TypeValue: "TYPE", VRFValue: "NAME", ScopeValue: "SCOPE", EnabledValue: "{ enabled | disabled }",
	EncapValue: "ENCAPTYPE ENCAPHDR", GatewayValue: "[ FAMILY ] ADDRESS", NexthopValue: "NH", LockedValue: "[ lock ] NUMBER",
	TimeValue: "TIME", FeaturesValue: "FEATURES", BoolValue: "BOOL", NameValue: "NAME", PreferenceValue: "PREF",
	FlowLabelValue: "FLOWLABEL",
}

// String returns the placeholder, as in "PREFIX".
func (k ValueKind) String() string {
	if int(k) < len(valueNames) {
		return valueNames[k]
	}
	return ""
}

// Keyword is one word that a verb of ip-rule(8) or ip-route(8) takes.
type Keyword struct {
	Word   string    // as it is spelled in full
	Prefix bool      // any beginning of it means it too, unless an earlier keyword takes that
	Field  string    // what it sets or selects by, under one name for all words that mean it
	Value  ValueKind // what follows it
	Help   string    // one line, lower case
}

// ruleOption is what a keyword of rules does: how add and delete read its
// value, and how list and flush do. Every keyword with the same meaning shares
// one.
type ruleOption struct {
	name  string
	value ValueKind
	help  string
	add   func(*requestParser) // nil: not for add and delete
	match func(*filterParser)  // nil: not for list and flush
	wide  bool                 // ip's own filters do not know it
}

// ruleOptions are all options, selectors first, in the order of the usage
// text. This table, with the two orders below, is the grammar.
var ruleOptions = []ruleOption{
	{"not", NoValue, "invert the selector", (*requestParser).not, (*filterParser).not, false},
	{"from", PrefixValue, "source address", (*requestParser).from, (*filterParser).from, false},
	{"to", PrefixValue, "destination address", (*requestParser).to, (*filterParser).to, false},
	{"tos", DSFieldValue, "DS field", (*requestParser).tos, (*filterParser).tos, false},
	{"dscp", DSCPValue, "six DSCP bits", (*requestParser).dscp, (*filterParser).dscp, false},
	{"flowlabel", LabelValue, "IPv6 flow label", (*requestParser).flowLabel, (*filterParser).flowLabel, false},
	{"fwmark", MarkValue, "firewall mark", (*requestParser).fwmark, (*filterParser).fwmark, false},
	{"iif", LinkValue, "interface of arrival; lo means locally generated", (*requestParser).iif, (*filterParser).iif, false},
	{"oif", LinkValue, "interface a socket is bound to", (*requestParser).oif, (*filterParser).oif, false},
	{"l3mdev", NoValue, "flows of a VRF, and its own table", (*requestParser).l3mdev, (*filterParser).l3mdev, false},
	{"uidrange", UIDRangeValue, "user ids of local senders", (*requestParser).uidRange, (*filterParser).uidRange, false},
	{"ipproto", IPProtoValue, "IP protocol", (*requestParser).ipProto, (*filterParser).ipProto, false},
	{"sport", PortsValue, "source port", (*requestParser).sport, (*filterParser).sport, false},
	{"dport", PortsValue, "destination port", (*requestParser).dport, (*filterParser).dport, false},
	{"tun_id", NumberValue, "tunnel id", (*requestParser).tunID, (*filterParser).tunID, false},
	{"pref", NumberValue, "place in the list, smallest first", (*requestParser).pref, (*filterParser).pref, false},
	{"lookup", TableValue, "look this table up", (*requestParser).lookup, (*filterParser).lookup, false},
	{"protocol", ProtocolValue, "who installed the rule", (*requestParser).protocol, (*filterParser).protocol, false},
	{"nat", AddressValue, "deprecated: the kernel has no route NAT", (*requestParser).nat, nil, false},
	{"realms", RealmsValue, "realms for accounting", (*requestParser).realms, (*filterParser).realms, true},
	{"goto", NumberValue, "continue at the rule with this priority", (*requestParser).jump, (*filterParser).jump, true},
	{"suppress_prefixlength", NumberValue, "refuse routes with prefixes this short", (*requestParser).suppressLength, (*filterParser).suppressLength, true},
	{"suppress_ifgroup", GroupValue, "refuse routes over interfaces of this group", (*requestParser).suppressGroup, (*filterParser).suppressGroup, true},
	{"nop", NoValue, "do nothing", (*requestParser).nop, (*filterParser).action, true},
	{"type", TypeValue, "optional word before an action", (*requestParser).typeWord, (*filterParser).typeWord, true},
	{"action", NoValue, "an action, numbered like the types of routes", (*requestParser).action, (*filterParser).action, true},
	{"help", NoValue, "print the usage", (*requestParser).help, nil, false},
}

// addWords is the order in which add and delete try a word.
var addWords = []keyword{
	{"not", false, "not"},
	{"from", false, "from"},
	{"to", false, "to"},
	{"preference", true, "pref"},
	{"order", true, "pref"},
	{"priority", true, "pref"},
	{"tos", false, "tos"},
	{"dsfield", true, "tos"},
	{"fwmark", false, "fwmark"},
	{"realms", true, "realms"},
	{"protocol", true, "protocol"},
	{"tun_id", true, "tun_id"},
	{"table", true, "lookup"},
	{"lookup", false, "lookup"},
	{"suppress_prefixlength", true, "suppress_prefixlength"},
	{"sup_pl", false, "suppress_prefixlength"},
	{"suppress_ifgroup", true, "suppress_ifgroup"},
	{"sup_group", false, "suppress_ifgroup"},
	{"dev", false, "iif"},
	{"iif", false, "iif"},
	{"oif", false, "oif"},
	{"l3mdev", false, "l3mdev"},
	{"uidrange", false, "uidrange"},
	{"nat", false, "nat"},
	{"map-to", true, "nat"},
	{"ipproto", false, "ipproto"},
	{"sport", false, "sport"},
	{"dport", false, "dport"},
	{"dscp", false, "dscp"},
	{"flowlabel", false, "flowlabel"},
	{"type", false, "type"},
}

// otherWords are tried for a word that is none of addWords, and for the word
// after "type"; routeTypeWords follow.
var otherWords = []keyword{{"help", true, "help"}, {"goto", true, "goto"}, {"nop", true, "nop"}}

// listWords is the order in which list and flush try a word; any other word is
// a destination.
var listWords = []keyword{
	{"preference", true, "pref"},
	{"order", true, "pref"},
	{"priority", true, "pref"},
	{"not", false, "not"},
	{"tos", false, "tos"},
	{"dsfield", false, "tos"},
	{"fwmark", false, "fwmark"},
	{"dev", false, "iif"},
	{"iif", false, "iif"},
	{"oif", false, "oif"},
	{"l3mdev", false, "l3mdev"},
	{"uidrange", false, "uidrange"},
	{"tun_id", true, "tun_id"},
	{"lookup", true, "lookup"},
	{"table", true, "lookup"},
	{"from", true, "from"},
	{"src", true, "from"},
	{"protocol", true, "protocol"},
	{"ipproto", false, "ipproto"},
	{"sport", false, "sport"},
	{"dport", false, "dport"},
	{"dscp", false, "dscp"},
	{"flowlabel", false, "flowlabel"},
	{"dst", true, "to"},
	{"to", true, "to"},
}

// wideWords are the filters that only this program has. They are tried first
// and have to be spelled out, so that no abbreviation changes its meaning.
var wideWords = []keyword{
	{"realms", false, "realms"},
	{"goto", false, "goto"},
	{"nop", false, "nop"},
	{"type", false, "type"},
	{"suppress_prefixlength", false, "suppress_prefixlength"},
	{"suppress_ifgroup", false, "suppress_ifgroup"},
	{"blackhole", false, "action"},
	{"unreachable", false, "action"},
	{"prohibit", false, "action"},
}

// routeTypeWords is the order in which ip tries the types of routes, whose
// numbers the actions of rules share.
var routeTypeWords = []keyword{
	{"local", false, "local"},
	{"nat", false, "nat"},
	{"broadcast", true, "broadcast"},
	{"brd", false, "broadcast"},
	{"anycast", true, "anycast"},
	{"multicast", true, "multicast"},
	{"prohibit", true, "prohibit"},
	{"unreachable", true, "unreachable"},
	{"blackhole", true, "blackhole"},
	{"xresolve", true, "xresolve"},
	{"unicast", true, "unicast"},
	{"throw", false, "throw"},
}

// option returns the option of a name, the one of actions for the name of a
// route type.
func option(name string) ruleOption {
	for i := range ruleOptions {
		if ruleOptions[i].name == name {
			return ruleOptions[i]
		}
	}
	return option("action")
}

// RuleKeywords returns the words that a verb takes, in the order in which ip
// tries them. The order decides what an abbreviation means. Verbs without
// words have none.
func RuleKeywords(v RuleVerb) []Keyword {
	var words []keyword
	switch v {
	case RuleAdd, RuleDelete:
		words = slices.Concat(addWords, otherWords, routeTypeWords)
	case RuleList, RuleFlush:
		words = listWords
	}
	return describe(words)
}

// WideFilterKeywords returns the words that [RuleContext.ParseWideFilter]
// takes before those of [RuleList].
func WideFilterKeywords() []Keyword { return describe(wideWords) }

func describe(words []keyword) []Keyword {
	var list []Keyword
	for _, w := range words {
		o := option(w.means)
		list = append(list, Keyword{Word: w.word, Prefix: w.prefix, Field: w.means, Value: o.value, Help: o.help})
	}
	return list
}

// RuleHelp returns the usage text of "ip rule", which ip prints to stderr.
func RuleHelp() string {
	value := func(names ...string) string {
		var b strings.Builder
		for _, name := range names {
			fmt.Fprintf(&b, " [ %s ]", strings.TrimRight(name+" "+option(name).value.String(), " "))
		}
		return b.String()[1:]
	}
	return "Usage: ip rule { add | del } SELECTOR ACTION\n" +
		"       ip rule { flush | save | restore }\n" +
		"       ip rule [ list [ SELECTOR ]]\n" +
		"SELECTOR := " + value("not", "from", "to", "tos") + "\n" +
		"            " + value("dscp", "flowlabel") + "\n" +
		"            " + value("fwmark") + "\n" +
		"            " + value("iif", "oif", "pref", "l3mdev") + "\n" +
		"            " + value("uidrange") + "\n" +
		"            " + value("ipproto", "tun_id") + "\n" +
		"            " + value("sport") + "\n" +
		"            " + value("dport") + "\n" +
		"ACTION := [ table TABLE_ID ]\n" +
		"          " + value("protocol") + "\n" +
		"          " + value("nat") + "\n" +
		"          " + value("realms") + "\n" +
		"          " + value("goto") + "\n" +
		"          [ nop | blackhole | unreachable | prohibit ]\n" +
		"          SUPPRESSOR\n" +
		"SUPPRESSOR := " + value("suppress_prefixlength") + "\n" +
		"              " + value("suppress_ifgroup") + "\n" +
		"TABLE_ID := [ local | main | default | NUMBER ]\n"
}
