package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/fib"
	"rpdb/kernel"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain [to] ADDRESS [from ADDRESS] [FLOW...]",
		Short: "which rule decides about a packet, and why every other one does not",
		Long: `explain walks the rules for one packet and says of each why it did not apply, or
what its table answered; then the route, the source, and whether the kernel
gives the same answer.

A packet is described in the words of "ip route get":
  ` + flowUsage + `

Without iif the packet is one of this host. "connect" asks as connect(2) does
(IPv4 asks again with the source that it found), "sendto" as a datagram of an
unconnected socket; without either it is asked once, as "ip route get" asks.`,
		Example: "  rpdb explain 203.0.113.10 from 10.10.0.10\n  rpdb explain 2001:db8::1 from 2001:db8:a::5 iif lan0 ipproto tcp dport 443",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			flow, err := ParseFlow(args)
			if err != nil {
				return err
			}
			return a.explain(cmd.Context(), flow)
		},
	}
	a.snapshotFlag(cmd)
	return cmd
}

// explanation is the JSON of explain.
type explanation struct {
	Version int       `json:"version"`
	Trace   fib.Trace `json:"trace"`
	// Kernel is the running kernel's own answer, absent for a snapshot from a
	// file and for flows that it cannot be asked about.
	Kernel *rpdb.Decision `json:"kernel,omitempty"`
	// Agrees says whether the two answers are the same; absent without Kernel.
	Agrees *bool `json:"agrees,omitempty"`
	// Unasked says why the kernel was not asked.
	Unasked string `json:"unasked,omitzero"`
}

func (a *app) explain(ctx context.Context, flow rpdb.Flow) error {
	s, conn, err := a.state(ctx)
	if err != nil {
		return err
	}
	if conn != nil {
		defer conn.Close()
	}
	for _, name := range []rpdb.LinkName{flow.IIF, flow.OIF} {
		if _, ok := s.LinkByName(name); name != "" && !ok {
			return fmt.Errorf("flow: interface %q does not exist here", string(name))
		}
	}
	e := explanation{Version: 1, Trace: fib.Compile(s).Trace(flow)}
	if err := e.askKernel(ctx, conn, s, flow); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(e)
	}
	return a.viewExplain(s, e)
}

// askKernel puts the same flow to the running kernel, where it can be put.
func (e *explanation) askKernel(ctx context.Context, conn *kernel.Conn, s *rpdb.Snapshot, flow rpdb.Flow) error {
	if conn == nil {
		e.Unasked = "the state is from a file"
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
