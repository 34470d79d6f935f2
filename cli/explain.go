package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rpdb"
	"rpdb/fib"
	"rpdb/kernel"
)

func (a *app) explainCommand() *cobra.Command {
	var capture string
	var sockets socketQuery
	var reply bool
	cmd := &cobra.Command{
		Use:   "explain [to] ADDRESS [from ADDRESS] [FLOW...]",
		Short: "which rule decides about a packet, and why every other one does not",
		Long: `explain walks the rules for one packet and says of each why it did not apply, or
what its table answered and which routes it passed over for that; then where the
packet goes, why with that source, what the reverse-path check came to, and
whether the kernel gives the same answer.

A packet is described in the words of "ip route get":
  ` + flowUsage + `

Without iif the packet is one of this host. "connect" asks as connect(2) does
(IPv4 asks again with the source that it found), "sendto" as a datagram of an
unconnected socket; without either it is asked once, as "ip route get" asks.

` + replyLong + `

` + captureLong + `

` + socketLong + whyNotLong,
		Example: "  rpdb explain 203.0.113.10 from 10.10.0.10\n  rpdb explain 2001:db8::1 from 2001:db8:a::5 iif lan0 ipproto tcp dport 443" + replyExample + captureExample + socketExample + whyNotExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkColor(); err != nil {
				return err
			}
			args, err := a.whyNot.take(args)
			if err != nil {
				return err
			}
			switch {
			case a.whyNot.keyword != "" && (a.raw || a.all):
				return &usageError{text: "--raw and --all are about the rules that were walked, which --why-not does not list"}
			case reply && (sockets.asked() || cmd.Flags().Changed("pcap")):
				return &usageError{text: "--reply is about one packet, and excludes --pcap, --socket and --pid"}
			case sockets.asked():
				return a.explainSockets(cmd.Context(), &sockets, args)
			case cmd.Flags().Changed("pcap"):
				return a.explainPcap(cmd.Context(), capture, args)
			}
			flow, given, err := parseFlow(args)
			if err != nil {
				return err
			}
			if reply && !flow.IsInput() {
				return &usageError{"--reply: a packet of this host is answered elsewhere", `add "iif NAME" for a packet that came in`}
			}
			s, conn, err := a.state(cmd.Context())
			if err != nil {
				return err
			}
			if conn != nil {
				defer conn.Close()
			}
			return a.explainFlow(cmd.Context(), newExplainer(s, conn), described{flow, given, reply})
		},
	}
	cmd.Flags().BoolVar(&a.all, "all", false, "list all rules and routes, also long runs that have nothing to say")
	cmd.Flags().StringVar(&a.color, "color", "auto", "`WHEN` to repeat in colour what the words say: auto (on a terminal, unless NO_COLOR is set), always or never")
	a.rawFlag(cmd)
	cmd.Flags().BoolVar(&reply, "reply", false, "explain also how the answers to the packet leave")
	cmd.Flags().StringVar(&capture, "pcap", "", "explain the packets of a capture in `FILE`, - for standard input")
	a.snapshotFlag(cmd)
	sockets.socketFlags(cmd)
	a.whyNotFlag(cmd)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var unknown *pflag.NotExistError
		if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() == "" {
			return flagError(cmd, err)
		}
		return &usageError{flagError(cmd, err).Error(), `options stand before "--", and behind it the words of a flow may begin with "-"`}
	})
	return cmd
}

// explanation is the JSON of explain for one flow.
type explanation struct {
	Version int       `json:"version,omitzero"` // absent in lists
	Trace   fib.Trace `json:"trace"`
	// NAT is what nftables does to the packet for its rule; absent where that is
	// nothing.
	NAT *translated `json:"nat,omitempty"`
	// Kernel is the running kernel's own answer, absent for a snapshot from a
	// file and for flows that it cannot be asked about.
	Kernel *rpdb.Decision `json:"kernel,omitempty"`
	// Agrees says whether the two answers are the same; absent without Kernel.
	Agrees *bool `json:"agrees,omitempty"`
	// Unasked says why the kernel was not asked.
	Unasked string `json:"unasked,omitzero"`
	// WhyNot answers --why-not; absent without it.
	WhyNot *fib.WhyNot `json:"why_not,omitempty"`
	// Replies are the ways of the answers to the packet; absent without
	// --reply.
	Replies []replyExplanation `json:"replies,omitzero"`
	// known reports whether a part of the flow, by its name in [openFields], is
	// known though it is zero; nil: none is.
	known func(field string) bool
}

// described is a packet that was described in words.
type described struct {
	flow  rpdb.Flow
	given func(field string) bool // as in [explanation]
	reply bool                    // its answers are asked for too
}

// explainFlow explains one packet in the state of a host.
func (a *app) explainFlow(ctx context.Context, x explainer, q described) error {
	e, err := x.explain(ctx, q.flow)
	if err != nil {
		return err
	}
	e.known = q.given
	if err := a.answerWhyNot(x, &e); err != nil {
		return err
	}
	if q.reply {
		if err := x.answerReplies(ctx, &e); err != nil {
			return err
		}
	}
	if a.json {
		e.Version = 1
		return a.printJSON(e)
	}
	if err := a.viewExplain(x.snap, e); err != nil {
		return err
	}
	return a.viewReplies(x.snap, e)
}

// explainer explains flows in one state.
type explainer struct {
	snap *rpdb.Snapshot
	fib  *fib.FIB
	conn *kernel.Conn // nil: the state is from a file
}

func newExplainer(s *rpdb.Snapshot, conn *kernel.Conn) explainer {
	return explainer{snap: s, fib: fib.Compile(s), conn: conn}
}

// explain traces a flow and asks the kernel about it, where it can be asked.
func (x explainer) explain(ctx context.Context, flow rpdb.Flow) (explanation, error) {
	for _, name := range []rpdb.LinkName{flow.IIF, flow.OIF} {
		if _, ok := x.snap.LinkByName(name); name != "" && !ok {
			return explanation{}, fmt.Errorf("flow: interface %q does not exist here", string(name))
		}
	}
	flow, arrived := arrive(x.snap.NAT, flow)
	e := explanation{Trace: x.fib.Trace(flow)}
	e.NAT = leave(x.snap, flow, e.Trace.Decision, arrived)
	err := e.askKernel(ctx, x.conn, x.snap, flow)
	return e, err
}

// askKernel puts the same flow to the running kernel, where it can be put.
func (e *explanation) askKernel(ctx context.Context, conn *kernel.Conn, s *rpdb.Snapshot, flow rpdb.Flow) error {
	if conn == nil {
		e.Unasked = notOfKernel
		return nil
	}
	if reason := unaskable(s, flow, e.Trace.Decision); reason != "" {
		e.Unasked = reason
		return nil
	}
	answer, err := conn.RouteGet(ctx, flow)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // a question that route get refuses to answer is no reason to stop
		e.Unasked = err.Error()
		return nil
	}
	agrees := e.Trace.Decision.Agrees(answer)
	e.Kernel, e.Agrees = &answer, &agrees
	return nil
}

// unaskable returns why RTM_GETROUTE cannot be asked about a flow, "" if it
// can.
func unaskable(s *rpdb.Snapshot, f rpdb.Flow, d rpdb.Decision) string {
	switch {
	case f.IsInput() && f.Family() == rpdb.IPv6 && !s.Sysctls.IPv6Forward:
		return "route get does not look whether IPv6 forwarding is on"
	case f.IsInput() && f.Family() == rpdb.IPv6 && d.Disposition == rpdb.Martian:
		return "route get does not look at what IPv6 drops on arrival"
	case f.Socket == rpdb.Connect:
		return "route get asks once, connect asks again"
	case f.Socket == rpdb.SendTo && f.OIF != "" && f.Family() == rpdb.IPv6:
		return "route get does not bind to an interface as a socket does"
	case f.TunID != 0:
		return "route get knows no tunnel ids"
	case f.Family() == rpdb.IPv4 && f.IPProto == 0 && asksForUDP(s):
		return "route get asks for UDP where no protocol is given, and a rule asks for UDP"
	case !askableProtocol(f.IPProto):
		return fmt.Sprintf("route get knows TCP, UDP and ICMP, and not protocol %d", f.IPProto)
	}
	return ""
}

// asksForUDP reports whether UDP makes a difference to an IPv4 rule.
func asksForUDP(s *rpdb.Snapshot) bool {
	return slices.ContainsFunc(s.RulesOf(rpdb.IPv4), func(r rpdb.Rule) bool { return r.Selector.IPProto == rpdb.UDP })
}

func askableProtocol(p rpdb.IPProto) bool {
	switch p {
	case 0, rpdb.TCP, rpdb.UDP, rpdb.ICMP, rpdb.ICMPv6:
		return true
	}
	return false
}
