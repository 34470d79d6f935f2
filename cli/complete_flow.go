package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"rpdb"
)

// flowWord is a word of a flow, for completion.
type flowWord struct {
	word, about string
	// instead are the words that it cannot stand beside.
	instead []string
}

// flowWords are the words of [flowUsage] in its order.
func flowWords() []flowWord {
	return []flowWord{
		{"to", "destination address", nil},
		{"from", "source address", nil},
		{"iif", "interface that the packet comes in by", []string{"oif", "connect", "sendto"}},
		{"oif", "interface that the sender is bound to", []string{"iif", "forwarded"}},
		{"mark", "firewall mark", nil},
		{"uid", "user of the sender", nil},
		{"tos", "DS field, hexadecimal", []string{"dscp"}},
		{"dscp", "upper six bits of the DS field: a number or the name of a class", []string{"tos"}},
		{"ipproto", "IP protocol", nil},
		{"sport", "source port", nil},
		{"dport", "destination port", nil},
		{"flowlabel", "IPv6 flow label", nil},
		{"tun_id", "id of the tunnel that the packet came out of", nil},
		{"forwarded", "the packet comes in and is to be sent on: wants iif", []string{"oif", "connect", "sendto"}},
		{"connect", "ask as connect(2) does", []string{"sendto", "iif", "forwarded"}},
		{"sendto", "ask as a datagram of an unconnected socket", []string{"connect", "iif", "forwarded"}},
	}
}

// captureFlowWords are the words of [captureUsage].
func captureFlowWords() []flowWord {
	return []flowWord{
		{"iif", "interface that the packets come in by", []string{"local"}},
		{"local", "all packets are of this host", []string{"iif"}},
		{"oif", "interface that the senders on this host are bound to", nil},
		{"mark", "firewall mark of the packets", nil},
		{"uid", "user of the senders on this host", nil},
		{"tun_id", "id of the tunnel that the packets came out of", nil},
		{"flowlabel", "IPv6 flow label that was sought with on this host", nil},
		{"connect", "ask as connect(2) does, without a source", []string{"sendto"}},
		{"sendto", "ask as an unconnected socket does, without a source", []string{"connect"}},
	}
}

// completeFlow offers the words of explain.
func (a *app) completeFlow(cmd *cobra.Command, before []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	if f := &a.whyNot; f.keyword != "" && f.next == len(before) {
		v.addWhyNotValue(f.keyword)
		return v.list, noFiles
	} else if f.keyword != "" && f.next >= 0 {
		before = slices.Delete(slices.Clone(before), f.next, f.next+1)
	}
	offered := flowWords()
	if cmd.Flags().Changed("pcap") {
		offered = captureFlowWords()
	}
	given := map[string]bool{}
	ofSockets := cmd.Flags().Changed("socket") || cmd.Flags().Changed("pid")
	for i := 0; i < len(before); i++ {
		word := before[i]
		if full, ok := flowAliases()[word]; ok {
			word = full
		}
		_, hasValue := flowFields(&rpdb.Flow{})[word]
		known := slices.ContainsFunc(offered, func(w flowWord) bool { return w.word == word })
		switch {
		case hasValue && i == len(before)-1:
			v.addFlowValue(word)
			return v.list, noFiles
		case hasValue:
			i++
		case !known:
			word = "to" // a destination without its keyword
		}
		given[word] = true
	}
	for _, w := range offered {
		if ofSockets && !slices.Contains(openWords(), w.word) {
			continue // a socket has that of its own
		}
		excluded := slices.ContainsFunc(w.instead, func(other string) bool { return given[other] })
		if !given[w.word] && !excluded {
			v.add(w.word, w.about)
		}
	}
	return v.list, noFiles
}

// addFlowValue offers values of a keyword: those of the host, and those that
// its rules ask about.
func (v *hostOffers) addFlowValue(keyword string) {
	switch keyword {
	case "from":
		v.addAddresses(0, false)
		return
	case "iif", "oif":
		v.addLinks()
		return
	case "ipproto":
		for _, name := range []string{"tcp", "udp", "icmp", "ipv6-icmp", "sctp", "dccp", "udplite"} {
			v.add(name, "")
		}
		return
	}
	for _, r := range v.rules(0) {
		v.add(askedFor(r.Selector, keyword), fmt.Sprintf("rule %d", r.Priority))
	}
}

// askedFor returns a value of a flow's keyword that a rule selects, "" if it
// selects none.
func askedFor(s rpdb.Selector, keyword string) string {
	uids, hasUIDs := s.UIDRange.Get()
	dscp, hasDSCP := s.DSCP.Get()
	switch {
	case keyword == "mark" && s.Mark.Mask != 0:
		return fmt.Sprintf("%#x", s.Mark.Value)
	case keyword == "uid" && hasUIDs:
		return fmt.Sprint(uids.First)
	case keyword == "dscp" && hasDSCP:
		return fmt.Sprint(dscp.Value)
	case keyword == "tos" && hasDSCP:
		return fmt.Sprintf("%#02x", dscp.Value<<2)
	case keyword == "tos" && s.TOS != 0:
		return fmt.Sprintf("%#02x", s.TOS)
	case keyword == "sport" && s.SPort.First != 0:
		return fmt.Sprint(s.SPort.First)
	case keyword == "dport" && s.DPort.First != 0:
		return fmt.Sprint(s.DPort.First)
	case keyword == "flowlabel" && s.FlowLabel.Mask != 0:
		return fmt.Sprintf("%#x", s.FlowLabel.Value)
	case keyword == "tun_id" && s.TunID != 0:
		return fmt.Sprint(s.TunID)
	}
	return ""
}

// completeWhyNot offers what the answer to a flow may be expected to be.
func (a *app) completeWhyNot(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	v.addLinks()
	for _, w := range whyNotWords() {
		v.add(w.word, w.about)
	}
	return v.list, noFiles
}

// addWhyNotValue offers the values of a keyword of --why-not. Gateways are in
// no list that is quickly read.
func (v *hostOffers) addWhyNotValue(keyword string) {
	switch keyword {
	case "dev":
		v.addLinks()
	case "table":
		v.addTables()
	case "rule":
		v.addPriorities(0)
	}
}
