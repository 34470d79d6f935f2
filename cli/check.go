package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/analysis"
	"rpdb/analysis/passes"
	"rpdb/analysis/passes/answers"
	"rpdb/fib"
	"rpdb/policy"
)

func (a *app) checkCommand() *cobra.Command {
	var to []string
	var costs bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "every local address: by which uplink do answers leave? And what else is wrong",
		Long: `check asks for every address of this host by which uplink answers to the outside
leave, and lists what else is wrong with rules and tables. It changes nothing.
Exit codes: 0 nothing is wrong (there may be warnings); 1 something is, with the
reason and the cure; 2 the check could not be made.

With --cost it tells instead what the rules cost the packets and why: how many are
asked by a packet that no selector is for, and by the longest walk; what makes the
kernel walk them twice or look for ports in every packet; and which changes would
make that less without changing any decision: copies that can be dropped, halves that
can be merged, rules that can move, and gotos past rules that all want the same. The
times are foretold. As root a lookup is measured too, against one in a namespace
without rules that is made for it and goes at once. The exit code is 0, or 2.`,
		Example: "  rpdb check\n  rpdb check --cost\n  rpdb check --cost --snapshot host.rpdb --json",
		Args:    func(cmd *cobra.Command, args []string) error { return trouble(noWords(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if costs {
				return trouble(a.checkCost(cmd))
			}
			r, err := a.makeReport(cmd, to)
			if err == nil {
				err = a.viewCheck(r)
			}
			if err != nil {
				return trouble(err)
			}
			if analysis.HasErrors(r.Findings) {
				return &codeError{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&to, "to", nil, "outside `ADDRESS` that answers go to, one for each family (default: one that no route but a default covers)")
	cmd.Flags().BoolVar(&costs, "cost", false, "tell what the rules cost each packet, and why")
	a.snapshotFlag(cmd)
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return trouble(checkNames(cmd)) }
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return trouble(flagError(cmd, err)) })
	return cmd
}

// trouble gives an error, if it is one, the exit code of a check that could
// not be made: 1 would say that something is wrong with the host. An error that
// has an exit code of its own keeps it.
func trouble(err error) error {
	var coded *codeError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return &codeError{code: exitTrouble, err: err}
}

// report is the result of check, and its JSON.
type report struct {
	Version  int                   `json:"version"`
	OK       bool                  `json:"ok"`
	Doors    []answers.Door        `json:"doors"`
	Findings []analysis.Diagnostic `json:"findings"`

	snapshot *rpdb.Snapshot
}

func (a *app) makeReport(cmd *cobra.Command, to []string) (*report, error) {
	options, err := outsideOptions(to)
	if err != nil {
		return nil, err
	}
	s, conn, err := a.state(cmd.Context())
	if err != nil {
		return nil, err
	}
	if conn != nil {
		defer conn.Close()
	}
	for _, a := range []netip.Addr{options.To4, options.To6} {
		if a.IsValid() && analysis.IsLocal(s, a) {
			return nil, fmt.Errorf("--to %v: an address of this host is not outside", a)
		}
	}
	engine := fib.Compile(s)
	analyzers := passes.All()
	for i, check := range analyzers {
		if check.Name == answers.Analyzer().Name {
			analyzers[i] = answers.AnalyzerFor(options)
		}
	}
	findings, err := analysis.RunCompiled(s, engine, analyzers)
	if err != nil {
		return nil, err
	}
	if conn != nil {
		others, err := a.managers()
		if err != nil {
			return nil, err
		}
		findings = append(findings, others...)
	}
	findings = a.shownFindings(s, findings)
	doors := answers.Doors(s, engine, options)
	return &report{Version: 1, OK: !analysis.HasErrors(findings), Doors: list(doors), Findings: list(findings), snapshot: s}, nil
}

func outsideOptions(to []string) (answers.Options, error) {
	var o answers.Options
	for _, word := range to {
		var addr netip.Addr
		if err := parseAddr(word, &addr); err != nil {
			return o, fmt.Errorf("--to %q: %w", word, err)
		}
		to := &o.To6
		if addr.Is4() {
			to = &o.To4
		}
		if to.IsValid() {
			return o, fmt.Errorf("--to %q: a second address of %v, after %v", word, rpdb.FamilyOf(addr), *to)
		}
		*to = addr
	}
	return o, nil
}

func (a *app) viewCheck(r *report) error {
	if a.json {
		return a.printJSON(r)
	}
	w := newPrinter(a.Out)
	v := newWords(r.snapshot.LinkName, a.loadNames())
	for _, f := range rpdb.Families() {
		w.checkFamily(v, r, f)
	}
	w.checkSummary(r)
	return w.err
}

func (p *printer) checkFamily(v words, r *report, f rpdb.Family) {
	p.printf("%v\n", f)
	none := true
	for _, d := range r.Doors {
		if d.Family() == f {
			p.door(v, d)
			none = false
		}
	}
	if none {
		p.printf("  no address that the outside can know\n")
	}
	for _, d := range r.Findings {
		if d.Family == f && !isDoor(d) {
			p.say(fmt.Sprintf("  %v: ", d.Severity), "%s", safe(d.Message))
			if d.Reason != "" {
				p.say("        ", "%s", safe(d.Reason))
			}
		}
	}
}

// isDoor reports whether a finding says what the line of its address says.
func isDoor(d analysis.Diagnostic) bool { return d.Check == "answers" && d.Subject.Address != nil }

// door prints one address and the way that its answers take.
func (p *printer) door(v words, d answers.Door) {
	verdict := d.Verdict.String()
	if d.Verdict == answers.WrongDoor || d.Verdict == answers.NoRoute || d.Verdict == answers.Denied {
		verdict = strings.ToUpper(verdict)
	}
	left := fmt.Sprintf("  %-6s %-21s %s", safe(d.Link.Name), d.Address.Prefix, safe(d.Message))
	p.printf("%s %s\n", pad(left, 71), verdict)
	if d.Reason != "" {
		p.say("         ", "%s", safe(withRule(v, d)))
	}
}

// withRule writes out the rule that the reason names by its number.
func withRule(v words, d answers.Door) string {
	if d.Rule == nil {
		return d.Reason
	}
	number := fmt.Sprintf("rule %d", d.Rule.Priority)
	return strings.Replace(d.Reason, number, fmt.Sprintf("%s (%s)", number, v.rule(*d.Rule)), 1)
}

func (p *printer) checkSummary(r *report) {
	for _, d := range r.Findings {
		if d.Family == 0 {
			p.say(fmt.Sprintf("%v: ", d.Severity), "%s", safe(d.Message))
		}
	}
	wrong := 0
	for _, d := range r.Doors {
		if d.Verdict == answers.WrongDoor {
			wrong++
		}
	}
	switch {
	case wrong > 0:
		p.printf("%d %s by the wrong door.\n", wrong, plural(wrong, "address answers", "addresses answer"))
		p.cure(r)
	case !r.OK:
		p.printf("Something is wrong, see above.\n")
	default:
		p.printf("Nothing is wrong%s.\n", butWarnings(r.Findings))
	}
}

// butWarnings counts what is no error but worth a look.
func butWarnings(findings []analysis.Diagnostic) string {
	n := 0
	for _, d := range findings {
		if d.Severity == analysis.Warning {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d %s above", n, plural(n, "warning", "warnings"))
}

// cure shows the policy that puts wrong doors right: every uplink of the host
// with its gateways, as far as they are known here.
func (p *printer) cure(r *report) {
	p.say("cure: ", "name the uplinks in a policy file (rpdb init > uplinks.yaml begins one),")
	p.printf("\n    uplinks:\n")
	for _, l := range r.snapshot.Links {
		if !hasDoor(r, l) {
			continue
		}
		known := gatewaysOf(r.snapshot, l.Index)
		var gateways []string
		for _, f := range rpdb.Families() {
			switch {
			case known[f] != "":
				gateways = append(gateways, known[f])
			case hasWrongDoor(r, l, f):
				gateways = append(gateways, fmt.Sprintf("ITS-%v-GATEWAY", f))
			}
		}
		if len(gateways) > 0 {
			p.printf("      - {interface: %s, gateways: [%s]}\n", policy.Word(string(l.Name)), strings.Join(gateways, ", "))
		}
	}
	p.printf("\nthen: rpdb try uplinks.yaml; rpdb plan uplinks.yaml; rpdb apply uplinks.yaml\n")
}

func hasDoor(r *report, l rpdb.Link) bool {
	return slices.ContainsFunc(r.Doors, func(d answers.Door) bool { return d.Link.Index == l.Index && d.Verdict != answers.Inside })
}

func hasWrongDoor(r *report, l rpdb.Link, f rpdb.Family) bool {
	return slices.ContainsFunc(r.Doors, func(d answers.Door) bool {
		return d.Link.Index == l.Index && d.Family() == f && d.Verdict == answers.WrongDoor
	})
}

// gatewaysOf returns the gateways of the default routes by an interface, in
// the form that a policy file takes: the word for what the host learned, since
// that may be another one tomorrow.
func gatewaysOf(s *rpdb.Snapshot, link rpdb.LinkIndex) map[rpdb.Family]string {
	found := map[rpdb.Family]string{}
	for _, r := range s.Routes {
		for _, n := range r.Nexthops {
			if !r.IsDefault() || n.Link != link || !n.Via.IsValid() || found[r.Family] != "" || rpdb.FamilyOf(n.Via) != r.Family {
				continue
			}
			found[r.Family] = strconv.Quote(n.Via.String())
			if r.Table == rpdb.TableMain && (r.Protocol == rpdb.ProtocolDHCP || r.Protocol == rpdb.ProtocolRA) {
				found[r.Family] = policy.Gateway{Family: r.Family}.String()
			}
		}
	}
	return found
}
