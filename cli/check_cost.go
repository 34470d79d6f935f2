package cli

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/analysis/cost"
	"rpdb/fib"
	"rpdb/kernel"
)

// costReport is the result of check --cost, and its JSON.
type costReport struct {
	Version  int          `json:"version"`
	Families []familyCost `json:"families"`
	// NotMeasured says why nothing was, "" if it was.
	NotMeasured string `json:"not_measured,omitzero"`

	snapshot *rpdb.Snapshot
}

type familyCost struct {
	cost.Family
	Measured *measuredCost `json:"measured,omitempty"`
}

// measuredCost is what the kernel took for one lookup (RTM_GETROUTE), here and in a
// fresh namespace; each is the median of the rounds, in nanoseconds.
type measuredCost struct {
	Dst   netip.Addr `json:"dst"`
	Rules int        `json:"rules"` // that the lookup asks
	Here  float64    `json:"here_ns"`
	Fresh float64    `json:"fresh_ns"`
	// More is the difference, and Noise what the fresh ones differ among themselves:
	// a difference that is not greater says nothing.
	More     float64    `json:"more_ns"`
	Noise    float64    `json:"noise_ns"`
	Foretold cost.Range `json:"foretold_ns"`
}

func (a *app) checkCost(cmd *cobra.Command) error {
	if cmd.Flags().Changed("to") {
		return &usageError{"check: --cost and --to exclude each other", `see "rpdb check --help"`}
	}
	s, conn, err := a.state(cmd.Context())
	if err != nil {
		return err
	}
	if conn != nil {
		defer conn.Close()
		if err := tellPast(cmd.Context(), conn, s); err != nil {
			return err
		}
	}
	r := &costReport{Version: 1, NotMeasured: "the state is from a file", snapshot: s}
	for _, f := range cost.Of(s) {
		r.Families = append(r.Families, familyCost{Family: f})
	}
	if conn != nil {
		if err := r.measure(cmd.Context(), conn); err != nil {
			return err
		}
	}
	return a.viewCost(r)
}

// tellPast finds out whether the rules of IPv4 were ever changed, which their list does
// not tell where it is that of a new namespace: until then local and main are one table,
// and the kernel says of a local address that main has it.
func tellPast(ctx context.Context, conn *kernel.Conn, s *rpdb.Snapshot) error {
	if s.Custom4 != rpdb.CustomisedUnknown {
		return nil
	}
	d, err := conn.RouteGet(ctx, rpdb.Flow{Dst: loopbackOf(rpdb.IPv4)})
	switch {
	case err != nil:
		return err
	case d.Disposition == rpdb.Local && d.Table == rpdb.TableMain:
		s.Custom4 = rpdb.CustomisedNo
	case d.Disposition == rpdb.Local && d.Table == rpdb.TableLocal:
		s.Custom4 = rpdb.CustomisedYes
	}
	return nil
}

// measure asks the kernel, here and in a namespace that is made for it, which takes
// root.
func (r *costReport) measure(ctx context.Context, conn *kernel.Conn) error {
	fresh, err := freshNamespace()
	if errors.Is(err, syscall.EPERM) {
		r.NotMeasured = "it takes root to make a namespace without rules to compare with"
		return nil
	}
	if err != nil {
		return err
	}
	defer fresh.Close()
	r.NotMeasured = ""
	engine := fib.Compile(r.snapshot)
	for i := range r.Families {
		f := &r.Families[i]
		if f.Walks == 0 {
			continue
		}
		if f.Measured, err = measureLookup(ctx, conn, fresh, engine, f.Family.Family); err != nil {
			return err
		}
	}
	return nil
}

// freshNamespace returns a connection to a new namespace, whose loopback interface is
// up. It ends with the connection.
func freshNamespace() (*kernel.Conn, error) {
	ns, err := kernel.NewNetNS()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	conn, err := kernel.Open(kernel.Options{NetNS: ns})
	if err != nil {
		return nil, err
	}
	if err := conn.SetLink("lo", kernel.LinkChange{Up: true}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// How often the kernel is asked: enough for a median, and over in a second with a
// hundred thousand rules.
const (
	costRounds = 9
	costBudget = 50 * time.Millisecond // of a round
	costMost   = 500                   // lookups of a round
)

// measureLookup takes turns between both namespaces, so that whatever else the machine
// does slows both.
func measureLookup(ctx context.Context, here, fresh *kernel.Conn, engine *fib.FIB, f rpdb.Family) (*measuredCost, error) {
	flow := rpdb.Flow{Dst: outsideOf(f)}
	m := &measuredCost{Dst: flow.Dst, Rules: askedRules(engine, flow)}
	m.Foretold = cost.Rules(f, max(m.Rules-len(rpdb.DefaultRules(f))+1, 0))
	once, decision, err := here.TimeRouteGet(ctx, flow, 1)
	if err != nil {
		return nil, err
	}
	n := int(min(max(costBudget/max(once, 1), 4), costMost))
	// An answer with a route is longer than one without: the other must be like it.
	other := flow
	if decision.Disposition.Delivered() {
		other.Dst = loopbackOf(f)
	}
	var ours, theirs []float64
	for range costRounds {
		a, _, err := here.TimeRouteGet(ctx, flow, n)
		if err != nil {
			return nil, err
		}
		b, _, err := fresh.TimeRouteGet(ctx, other, costMost)
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, float64(a)), append(theirs, float64(b))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	m.Here, m.Fresh = ours[costRounds/2], theirs[costRounds/2]
	m.More, m.Noise = m.Here-m.Fresh, theirs[costRounds*3/4]-theirs[costRounds/4]
	return m, nil
}

// askedRules counts the rules that the first lookup of a flow asks.
func askedRules(engine *fib.FIB, flow rpdb.Flow) int {
	trace := engine.Trace(flow)
	if len(trace.Lookups) == 0 {
		return 0
	}
	n := 0
	for _, s := range trace.Lookups[0].Steps() {
		if _, skipped := s.Detail.(fib.NotAsked); !skipped {
			n++
		}
	}
	return n
}

// outsideOf returns an address that nobody has.
func outsideOf(f rpdb.Family) netip.Addr {
	if f == rpdb.IPv4 {
		return netip.AddrFrom4([4]byte{203, 0, 113, 1})
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 15: 1})
}

func loopbackOf(f rpdb.Family) netip.Addr {
	if f == rpdb.IPv4 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}
