package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/fib"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// get asks the kernel which way a packet goes, and the engine which rule
// decided that.
func (r *routes) get(ctx context.Context, words []string) error {
	q, err := r.question(words)
	if err != nil {
		return err
	}
	v := r.view()
	v.Family = false
	p := r.printer(v)
	answer, err := r.ask(ctx, p, q)
	if src := answer.PrefSrc; err == nil && q.again && src.IsValid() {
		if q, err = r.question(append(slices.Clone(words), "from", src.String())); err == nil {
			_, err = r.ask(ctx, p, q)
		}
	}
	if closeErr := p.close(); err == nil {
		err = closeErr
	}
	return err
}

// question is what is asked about one packet: the kernel by the payload, the
// engine by the flow.
type question struct {
	payload  []byte
	flow     rpdb.Flow
	fibMatch bool
	again    bool // with the source that is chosen
}

// question reads the words, and makes the questions the same where they leave
// something open. The kernel takes the user of whoever asks, and for IPv6
// packets that come in none at all, where real ones have user 0; and it takes
// IPv4 for UDP.
func (r *routes) question(words []string) (question, error) {
	g, err := r.context(rpdb.Family(r.opts.Family)).ParseGet(words)
	if err != nil {
		return question{}, r.badWords("get", err)
	}
	for _, w := range g.Warnings() {
		return question{}, r.wrong("get", "%s", strings.TrimPrefix(w, "Warning: "))
	}
	flow := g.Flow()
	switch {
	case g.UID.IsSet(), r.file != nil:
	case !flow.IsInput():
		flow.UID = uint32(os.Getuid())
	case flow.Family() == rpdb.IPv6:
		return r.question(append(slices.Clone(words), "uid", "0"))
	}
	if flow.Family() == rpdb.IPv4 && !g.IPProto.IsSet() && r.file == nil {
		flow.IPProto = rpdb.UDP
	}
	return question{g.Payload(), flow, g.FibMatch, g.Connected && !g.From.IsSet()}, nil
}

// ask puts one question, and prints the answer with the rule that decided.
func (r *routes) ask(ctx context.Context, p *routePrinter, q question) (rpdb.Route, error) {
	if r.file != nil {
		return r.askEngine(p, q)
	}
	answer, err := r.socket.GetRoute(ctx, q.payload)
	verdict, refused := kernel.RefusalOf(q.flow, err)
	if err != nil && !refused {
		return answer.Route, fmt.Errorf("look up route to %v: %w", q.flow.Dst, err)
	}
	if !refused {
		verdict = kernel.DecisionOf(q.flow, answer.Route, r.socket.LinkName)
	}
	s, err := r.conn.SnapshotFor(ctx, q.flow)
	if err != nil {
		return answer.Route, err
	}
	d := decide(s, q, verdict, answer.Route)
	v := iproute2.RuleView{Names: r.names(), Numeric: r.opts.Numeric, Details: r.opts.Details}
	if !refused {
		return answer.Route, p.printAnswer(entry(answer), d, v)
	}
	if p.json == nil {
		return answer.Route, &refusedAnswer{q.flow, d.why(verdict), d.line(v)}
	}
	p.json.Begin()
	p.json.String("dst", "", q.flow.Dst.String())
	p.json.String("errno", "", verdict.Errno.String())
	p.decided(d, v)
	p.json.End()
	return answer.Route, &codeError{code: exitFailed}
}

// askEngine is ask for a state from a file, which the engine alone can answer
// for.
func (r *routes) askEngine(p *routePrinter, q question) (rpdb.Route, error) {
	d := decide(r.file, q, rpdb.Decision{}, rpdb.Route{})
	d.unasked = notOfKernel
	v := iproute2.RuleView{Names: r.names(), Numeric: r.opts.Numeric, Details: r.opts.Details}
	answer := d.answer(r.file, q)
	if d.decision.Disposition.Delivered() {
		return answer.Route, p.printAnswer(answer, d, v)
	}
	why := d.decision.Note
	if d.decision.Disposition == rpdb.DispositionUnknown {
		why = "not known: " + why
	} else if why == "" {
		why = syscall.Errno(d.decision.Errno).Error()
	}
	if p.json == nil {
		return answer.Route, &refusedAnswer{q.flow, why, d.line(v)}
	}
	p.json.Begin()
	p.json.String("dst", "", q.flow.Dst.String())
	if e := d.decision.Errno; e != 0 {
		p.json.String("errno", "", e.String())
	}
	p.decided(d, v)
	p.json.End()
	return answer.Route, &codeError{code: exitFailed}
}

const notOfKernel = "the state is from a file"

// answer is what the kernel would tell of the route that the engine found: the
// route itself if that was asked for, else the way to the one address.
func (d deciding) answer(s *rpdb.Snapshot, q question) iproute2.RouteEntry {
	if found, ok := d.route(); ok && q.fibMatch {
		return fileEntry(found)
	}
	a, f := d.decision, q.flow.Family()
	link, _ := s.LinkByName(a.Link)
	e := iproute2.RouteEntry{Route: rpdb.Route{
		Family: f, Table: a.Table, Dst: netip.PrefixFrom(q.flow.Dst, f.Bits()), Type: a.Type, PrefSrc: a.Src,
		Nexthops: []rpdb.Nexthop{{Via: a.Via, Link: link.Index}},
	}}
	if e.Table == 0 {
		e.Table = rpdb.TableMain
	}
	if found, ok := d.route(); ok {
		e.Protocol = found.Protocol
	}
	e.Mark = q.flow.Mark
	if in, ok := s.LinkByName(q.flow.IIF); ok {
		e.IIF = in.Index
	}
	return e
}

// refusedAnswer is an answer that says that the packet does not go anywhere. It
// hides its errno, which is not about what the asker may do.
type refusedAnswer struct {
	flow         rpdb.Flow
	why, decided string
}

func (e *refusedAnswer) Error() string {
	return fmt.Sprintf("route to %v: %s\n%s", e.flow.Dst, e.why, e.decided)
}

// deciding is the rule that decided about a packet, as the engine found it.
type deciding struct {
	step     *fib.Step // of the rule, nil if none decided
	decision rpdb.Decision
	agrees   bool
	// unasked says why the kernel's answer is no answer to the same question,
	// or why the engine has none: then agrees says nothing.
	unasked string
}

// decide asks the engine, and compares its answer with the kernel's.
func decide(s *rpdb.Snapshot, q question, verdict rpdb.Decision, answer rpdb.Route) deciding {
	trace := fib.Compile(s).Trace(q.flow)
	d := deciding{decision: trace.Decision, unasked: unaskable(s, q.flow, trace.Decision)}
	if len(trace.Lookups) > 0 { // others are about the way back
		for _, step := range trace.Lookups[0].Steps() {
			if decided(step) {
				d.step = &step
			}
		}
	}
	switch {
	case d.unasked != "":
	case q.flow.IIF == "lo":
		d.unasked = "no packet comes in by lo"
	case d.decision.Disposition == rpdb.DispositionUnknown:
		d.unasked = d.decision.Note
	case q.fibMatch && d.decision.Disposition.Delivered():
		chosen, ok := d.detail().(fib.Chosen)
		d.agrees = ok && verdict.Disposition.Delivered() && chosen.Route.Key() == answer.Key() && chosen.Route.Type == answer.Type
	default:
		d.agrees = d.decision.Agrees(verdict)
	}
	return d
}

func (d deciding) detail() fib.Detail {
	if d.step == nil {
		return nil
	}
	return d.step.Detail
}

// route returns the route that the rule found, and whether it found one. What
// is in table local the kernel may take for a route of main, which it keeps in
// one with it while there are no rules but the first ones.
func (d deciding) route() (r rpdb.Route, ok bool) {
	switch detail := d.detail().(type) {
	case fib.Chosen:
		return detail.Route, true
	case fib.Denied:
		return detail.Route, detail.Table != 0
	}
	return rpdb.Route{}, false
}

// why says why the packet does not go anywhere: what the kernel says, and what
// the engine knows better.
func (d deciding) why(verdict rpdb.Decision) string {
	text := syscall.Errno(verdict.Errno).Error()
	switch {
	case d.unasked == "" && d.agrees && d.decision.Note != "":
		return text + ": " + d.decision.Note
	case verdict.Note != "":
		return text + ": " + verdict.Note
	}
	return text
}

// line says in a line which rule decided, and how sure that is.
func (d deciding) line(v iproute2.RuleView) string {
	by := "no rule"
	if d.step != nil {
		by = fmt.Sprintf("rule %d: %s", d.step.Rule.Priority, v.Text(d.step.Rule))
		if route, ok := d.route(); ok {
			by += fmt.Sprintf(" (%s in table %s)", destination(route), v.Names.Table(route.Table))
		}
	}
	if len(d.decision.Either) > 1 {
		by += "; one of " + joinHops(d.decision.Either)
	}
	switch {
	case d.unasked == notOfKernel:
		return fmt.Sprintf("decided by %s; the engine's answer: %s", by, d.unasked)
	case d.unasked != "" && d.step == nil:
		return "decided by a rule that is not known: " + d.unasked
	case d.unasked != "":
		return fmt.Sprintf("decided by %s; not compared: %s", by, d.unasked)
	case !d.agrees:
		return fmt.Sprintf("THE ENGINE DISAGREES: by %s the packet %s", by, verdictLine(d.decision))
	}
	return "decided by " + by
}

// printAnswer prints an answer and, on a line of its own, what decided.
func (p *routePrinter) printAnswer(e iproute2.RouteEntry, d deciding, v iproute2.RuleView) error {
	if p.json != nil {
		p.json.Begin()
		p.lister.Fields(&e, p.json)
		p.decided(d, v)
		p.json.End()
		return nil
	}
	newline := "\n"
	if p.view.OneLine {
		newline = `\`
	}
	_, err := fmt.Fprintf(p.text, "%s%s    %s\n", p.view.Entry(e), newline, d.line(v))
	return err
}

// decided writes what decided as an object of ours among the keys of ip: the
// rule with the keys of "ip -j rule".
func (p *routePrinter) decided(d deciding, v iproute2.RuleView) {
	p.json.Open("decided", '{')
	defer p.json.End()
	if d.step != nil {
		p.json.Open("rule", '{')
		v.Fields(d.step.Rule, p.json)
		p.json.End()
	}
	if route, ok := d.route(); ok {
		p.json.String("table", "", v.Names.Table(route.Table))
		p.json.String("route", "", destination(route))
	}
	if d.unasked != "" {
		p.json.String("not_compared", "", d.unasked)
		return
	}
	p.json.Bool("agrees", "", d.agrees)
	if !d.agrees {
		p.json.String("engine", "", verdictLine(d.decision))
	}
}
