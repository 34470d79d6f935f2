package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/apply"
	"rpdb/kernel"
	"rpdb/plan"
	"rpdb/policy"
	"rpdb/sandbox"
)

func (a *app) tryCommand() *cobra.Command {
	var rpFilter uint8
	cmd := &cobra.Command{
		Use:   "try FILE",
		Short: "rehearse a policy on a throw-away host with real packets",
		Long: `try builds a host in network namespaces of its own: the interfaces that the
policy names, behind each uplink a gateway that drops sources which are not its
own, as providers do, and an outside world in IPv4 and IPv6. It sends packets
before the policy and after it, and compares the way they took, counted at the
gateways, with what the engine said beforehand. Where rules have nat there are
inside hosts, too, for which the host forwards: what the world sees of their
packets, and what comes in for them, is compared as well.

Nothing outside these namespaces is touched, and nothing of them remains. No
root is needed where unprivileged user namespaces exist, but for rules of IPv6
with nat, which take CAP_BPF. Exit codes: 0 the policy works and the engine was
right; 1 otherwise, or an error.`,
		Args: oneFile("policy FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.try(cmd.Context(), args[0], rpFilter) },
	}
	cmd.Flags().Uint8Var(&rpFilter, "rp-filter", 0, "reverse-path filter of the host: `MODE` 0 is off, 1 strict, 2 loose")
	return cmd
}

// try parses the policy where mistakes are cheap, then continues in a child
// process inside new namespaces.
func (a *app) try(ctx context.Context, file string, rpFilter uint8) error {
	if rpFilter > 2 {
		return fmt.Errorf("--rp-filter %d: it is 0, 1 or 2", rpFilter)
	}
	if a.netns != "" {
		return &usageError{"try: --netns: the host of a rehearsal has a namespace of its own", "apply works in a namespace: rpdb --netns NAME apply FILE"}
	}
	if file == "-" {
		if err := a.keepInput(); err != nil {
			return fmt.Errorf("try: read standard input: %w", err)
		}
	}
	doc, err := a.readPolicy(ctx, file)
	if err != nil {
		return err
	}
	if file == "-" {
		if _, err := os.Stdin.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("try: read standard input: %w", err)
		}
	}
	if len(doc.Uplinks) == 0 {
		return &usageError{
			fmt.Sprintf("try %s: the policy has no uplinks, so there is no way to send packets", safe(file)),
			"plan and explain show what such a policy means",
		}
	}
	inside, code, err := sandbox.Enter(ctx, sandbox.EnterOptions{UID: rehearsalUID(doc)})
	if err != nil {
		return fmt.Errorf("try %s: %w", safe(file), err)
	}
	if !inside {
		if code != exitOK {
			return &codeError{code: code}
		}
		return nil
	}
	if err := translatable(doc); err != nil {
		return fmt.Errorf("try %s: %w", safe(file), err)
	}
	r, err := a.rehearse(ctx, doc, rpFilter)
	if err != nil {
		return fmt.Errorf("try %s: %w", safe(file), err)
	}
	r.Policy = file
	if err := a.viewTry(r); err != nil {
		return err
	}
	if !r.OK {
		return &codeError{code: exitFailed}
	}
	return nil
}

// keepInput puts standard input into a file in memory, since the child reads
// it once more.
func (a *app) keepInput() error {
	data, err := readBounded(a.In, "standard input", maxPolicy)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("policy", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "policy")
	if _, err := f.Write(data); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	os.Stdin, a.In = f, f
	return nil
}

// rehearsalUID returns the user that an ordinary user should be inside the
// sandbox: the first one that a rule of the policy selects, since only one can
// be mapped there, else root.
func rehearsalUID(doc *policy.Document) uint32 {
	for _, r := range doc.Rules {
		if uids, ok := r.Selector.UIDRange.Get(); ok {
			return uids.First
		}
	}
	return 0
}

// rehearsal is the result of try.
type rehearsal struct {
	Version int         `json:"version"`
	Policy  string      `json:"policy"`
	Before  []tryResult `json:"before"`
	Steps   []plan.Step `json:"steps"`
	After   []tryResult `json:"after"`
	// Down has what becomes of unbound packets while an interface is down that
	// a table of the policy leads to, such as a tunnel.
	Down []downResult `json:"down,omitempty"`
	// Untried lists what of the policy could not be rehearsed, and why.
	Untried []string `json:"untried,omitempty"`
	OK      bool     `json:"ok"`

	words words
	spec  sandbox.Spec
}

// downResult is what was seen while one interface was down.
type downResult struct {
	Link    rpdb.LinkName `json:"link"`
	Results []tryResult   `json:"results"`
}

// tryResult is one probe: what was foretold and what was seen.
type tryResult struct {
	Name      string          `json:"name"` // what the probe stands for
	Probe     sandbox.Probe   `json:"probe"`
	Predicted prediction      `json:"predicted"`
	Outcome   sandbox.Outcome `json:"outcome"`
	Agrees    bool            `json:"agrees"`
	// Required probes must be answered for the policy to work: questions to
	// an uplink's address, and packets from one.
	Required bool `json:"required"`
	// Rule is the rule of the policy that a forwarded packet tries: one with nat, or
	// one that leaves packets of the same block as they are. Elsewhere says that by
	// the engine another one decides.
	Rule      string `json:"rule,omitzero"`
	Elsewhere bool   `json:"elsewhere,omitzero"`
}

func (a *app) rehearse(ctx context.Context, doc *policy.Document, rpFilter uint8) (*rehearsal, error) {
	p := newProgress(a.Err)
	defer p.clear()
	p.say("building %d %s and an outside world", len(doc.Uplinks), plural(len(doc.Uplinks), "uplink", "uplinks"))
	spec := trySpec(doc)
	spec.RPFilter = rpFilter
	world, err := sandbox.Build(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer world.Close()
	conn, err := kernel.Open(kernel.Options{NetNS: world.Host()})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r := &rehearsal{Version: 1, spec: world.Spec()}
	run := runner{world: world, conn: conn}

	p.say("sending packets before the policy")
	before := inboundOnly(standardProbes(world))
	if r.Before, err = run.send(ctx, before); err != nil {
		return nil, err
	}
	p.say("applying the policy")
	doc, r.Untried = narrowUsers(doc, world.CanBe)
	if err := run.apply(ctx, doc, r); err != nil {
		return nil, err
	}
	probes, untried, err := run.probes(ctx, doc)
	if err != nil {
		return nil, err
	}
	r.Untried = append(r.Untried, untried...)
	p.say("sending packets after the policy: %d probes", len(probes))
	if r.After, err = run.send(ctx, probes); err != nil {
		return nil, err
	}
	if err := run.withLinksDown(ctx, doc, p, r); err != nil {
		return nil, err
	}
	r.OK = judge(r)
	return r, nil
}

// judge reports whether the engine was right everywhere, and whether after the
// policy everything is answered that has to be.
func judge(r *rehearsal) bool {
	for _, t := range slices.Concat(r.Before, r.unboundWhileDown()) {
		if !t.Agrees {
			return false
		}
	}
	for _, t := range r.After {
		if !t.Agrees || t.Required && !t.Outcome.Answered {
			return false
		}
	}
	return true
}

// unboundWhileDown returns the results of all interfaces that were taken down.
func (r *rehearsal) unboundWhileDown() []tryResult {
	var all []tryResult
	for _, d := range r.Down {
		all = append(all, d.Results...)
	}
	return all
}

// runner sends probes and applies the policy on the host of a world.
type runner struct {
	world   *sandbox.World
	conn    *kernel.Conn
	desired rpdb.Desired
}

// probes makes the probes of all kinds, for what stands on the host now, and says
// which rules have none.
func (r *runner) probes(ctx context.Context, doc *policy.Document) (probes []namedProbe, untried []string, err error) {
	s, err := hostDoors{r.conn}.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	n := natProber{world: r.world, engine: newPredictor(s, r.world.Spec()), desired: r.desired, doc: doc, tried: map[string]bool{}}
	forwarded, notForwarded := n.probes()
	others := slices.DeleteFunc(slices.Clone(doc.Rules), func(r policy.Rule) bool { return r.NAT.IsSet() || n.tried[r.Name] })
	own, untried := ruleProbes(r.world, r.desired, others)
	return slices.Concat(standardProbes(r.world), own, forwarded), slices.Concat(untried, notForwarded), nil
}

// send foretells all probes from one snapshot, then sends them.
func (r *runner) send(ctx context.Context, probes []namedProbe) ([]tryResult, error) {
	s, err := hostDoors{r.conn}.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	engine := newPredictor(s, r.world.Spec())
	results := make([]tryResult, len(probes))
	raw := make([]sandbox.Probe, len(probes))
	for i, p := range probes {
		results[i] = tryResult{
			Name: p.name, Probe: p.probe, Predicted: engine.predict(p.probe), Required: p.required, Rule: p.rule, Elsewhere: p.elsewhere,
		}
		raw[i] = p.probe
	}
	outcomes, err := r.world.SendAll(ctx, raw)
	if err != nil {
		return nil, err
	}
	for i, o := range outcomes {
		results[i].Outcome = o
		results[i].Agrees = results[i].Predicted.agrees(o)
	}
	return results, nil
}

func (r *runner) apply(ctx context.Context, doc *policy.Document, out *rehearsal) error {
	s, err := hostDoors{r.conn}.Snapshot(ctx)
	if err != nil {
		return err
	}
	if r.desired, err = doc.Resolve(s, rpdb.Names{}); err != nil {
		return err
	}
	if len(r.desired.Waiting) > 0 {
		w := r.desired.Waiting[0]
		return fmt.Errorf("%s waits: %s", w.Name, w.Reason)
	}
	p, err := plan.Diff(s, r.desired)
	if err != nil {
		return err
	}
	out.words = newWords(s.LinkName, rpdb.Names{}) // which the policy was read with
	_, err = apply.Run(ctx, hostDoors{r.conn}, p, r.desired, apply.Options{})
	if err != nil {
		return err
	}
	out.Steps = p.Changes
	return nil
}
