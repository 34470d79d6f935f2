package cli

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"rpdb"
	"rpdb/fib"
)

// replyLong and replyExample are the part of the help about answers.
const (
	replyLong = `With --reply the packet came in by iif, and the ways of its answer are explained
too: of the echo reply, reset or ICMP error that the kernel makes (with the mark
of the packet only if fwmark_reflect is on), of a TCP connection (likewise, with
tcp_fwmark_accept), and of a program's datagram, from a socket bound to the
address that the packet was sent to, and from one that is not. "ipproto" narrows
them down. A packet that goes on is answered by ICMP errors only.`
	replyExample = "\n  rpdb explain 192.0.2.2 from 203.0.113.9 iif eth1 ipproto udp --reply"
)

// replyExplanation is the JSON of one way of an answer.
type replyExplanation struct {
	// Kinds are the answers that go this way.
	Kinds []fib.Reply `json:"kinds"`
	explanation
}

// answered is what answers with the same decision have in common.
type answered struct {
	decisionKey
	src netip.Addr
}

// answerReplies explains the answers to a packet, those with equal decisions
// once.
func (x explainer) answerReplies(ctx context.Context, e *explanation) error {
	flow, d := e.Trace.Flow, e.Trace.Decision
	e.Replies = []replyExplanation{}
	place := map[answered]int{}
	for _, kind := range fib.Replies(flow, d) {
		reply := x.fib.Reply(flow, kind, d.ICMP)
		got := x.fib.Lookup(reply)
		key := answered{keyOf(reply, got, false), got.Src}
		if i, ok := place[key]; ok {
			e.Replies[i].Kinds = append(e.Replies[i].Kinds, kind)
			continue
		}
		r, err := x.explain(ctx, reply)
		if err != nil {
			return err
		}
		place[key] = len(e.Replies)
		e.Replies = append(e.Replies, replyExplanation{Kinds: []fib.Reply{kind}, explanation: r})
	}
	for i := range e.Replies {
		r := &e.Replies[i]
		sockets := slices.ContainsFunc(r.Kinds, func(k fib.Reply) bool { return !k.ByKernel() })
		r.known = func(field string) bool { return !sockets || settled(field, flow) }
	}
	return nil
}

// settled reports whether a part of the answer of a socket is known: what
// answers have from the packet, and nothing that a program may set.
func settled(field string, asked rpdb.Flow) bool {
	switch field {
	case "sport":
		return asked.DPort != 0
	case "dport":
		return asked.SPort != 0
	}
	return field == "ipproto"
}

// viewReplies prints the ways of the answers below the packet itself.
func (a *app) viewReplies(s *rpdb.Snapshot, e explanation) error {
	w := newPrinter(a.Out)
	if e.Replies != nil && len(e.Replies) == 0 {
		w.printf("\nthere is no answer\n")
	}
	for _, r := range e.Replies {
		var words []string
		for _, k := range r.Kinds {
			words = append(words, replyWords(k, e.Trace))
		}
		w.printf("\n")
		w.wrap("the answer: " + strings.Join(words, "; "))
		if w.err == nil {
			w.err = a.viewExplain(s, r.explanation)
		}
		for _, note := range replyNotes(r, e.Trace.Flow) {
			w.wrap(note)
		}
	}
	return w.err
}

// replyWords says what an answer is.
func replyWords(k fib.Reply, t fib.Trace) string {
	switch k {
	case fib.ReplyEcho:
		return "an echo reply"
	case fib.ReplyReset:
		return "a TCP reset, of a closed port"
	case fib.ReplyUnreachable:
		return "ICMP port or protocol unreachable"
	case fib.ReplySYNACK:
		return "a TCP connection that is accepted"
	case fib.ReplyBound:
		return fmt.Sprintf("a datagram of a socket bound to %v", t.Flow.Dst)
	case fib.ReplyUnbound:
		return "a datagram of a socket bound to no address"
	}
	if icmp := t.Decision.ICMP.String(); icmp != "" {
		return "ICMP " + icmp
	}
	return "an ICMP error, as for a time to live that ends here"
}

// replyNotes says what is wrong with an answer, or what it was taken for.
func replyNotes(r replyExplanation, asked rpdb.Flow) []string {
	var notes []string
	d := r.Trace.Decision
	if slices.Contains(r.Kinds, fib.ReplyUnbound) && d.Disposition == rpdb.Sent && d.Src.IsValid() && d.Src != asked.Dst {
		notes = append(notes, fmt.Sprintf("note: it comes from %v, and %v was asked: few take it for the answer", d.Src, asked.Dst))
	}
	if slices.Contains(r.Kinds, fib.ReplyError) && asked.Dst.Is4() {
		notes = append(notes, "note: icmp_errors_use_inbound_ifaddr is taken to be off: the error has no source when its route is sought")
	}
	return notes
}
