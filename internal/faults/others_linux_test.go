package faults

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rpdb"
	"rpdb/kernel"
)

// other is a program that adds and deletes rules and routes of its own all the
// time.
type other struct {
	conn  *kernel.Conn
	rng   *rand.Rand
	rules []rpdb.Rule
	table []rpdb.Route
	made  int
}

// change adds something, or deletes something that it added.
func (o *other) change(ctx context.Context) error {
	o.made++
	n := o.rng.IntN(1000)
	switch {
	case o.rng.IntN(3) == 0 && len(o.table) < 20:
		to := netip.AddrFrom4([4]byte{203, 0, 113, byte(len(o.table))})
		r := rpdb.Route{Family: rpdb.IPv4, Table: 7, Dst: netip.PrefixFrom(to, 32), Type: rpdb.RouteBlackhole, Protocol: 4}
		if err := o.conn.Do(ctx, rpdb.RouteChange(rpdb.Add, r)); err != nil {
			return err
		}
		o.table = append(o.table, r)
	case o.rng.IntN(3) == 0 && len(o.table) > 0:
		last := len(o.table) - 1
		if err := o.conn.Do(ctx, rpdb.RouteChange(rpdb.Delete, o.table[last])); err != nil {
			return err
		}
		o.table = o.table[:last]
	case len(o.rules) > 15:
		i := o.rng.IntN(len(o.rules))
		if err := o.conn.Do(ctx, rpdb.RuleChange(rpdb.Delete, o.rules[i])); err != nil {
			return err
		}
		o.rules = slices.Delete(o.rules, i, i+1)
	default:
		// In front of ours, behind them, and with our protocol number.
		r := rpdb.Rule{Family: rpdb.IPv4, Priority: rpdb.Priority(8000 + 23000*o.rng.IntN(2) + n), Action: rpdb.ToTable(7)}
		if slices.ContainsFunc(o.rules, func(have rpdb.Rule) bool { return have.Priority == r.Priority }) {
			return nil
		}
		if n%5 == 0 {
			r.Protocol = rpdb.ProtocolRPDB
		}
		if err := o.conn.Do(ctx, rpdb.RuleChange(rpdb.Add, r)); err != nil {
			return err
		}
		o.rules = append(o.rules, r)
	}
	return nil
}

// TestOtherProgramAllTheTime changes rules and routes of its own during many
// applies (C2, A5). Each apply is done, or refused with nothing changed; what the
// other program has is in the end exactly what it made.
func TestOtherProgramAllTheTime(t *testing.T) {
	h := newHost(t)
	h.want(t, 0, "apply", "A.yaml")
	h.want(t, 0, "apply", "B.yaml")
	conn, err := kernel.Open(kernel.Options{NetNS: h.NetNS()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	o := &other{conn: conn, rng: rand.New(rand.NewPCG(2, 82))}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var failed error
	running.Go(func() {
		for ctx.Err() == nil && failed == nil {
			failed = o.change(context.WithoutCancel(ctx))
			time.Sleep(200 * time.Microsecond)
		}
	})
	applies, done := 12, 0
	if *allFaults {
		applies = 100
	}
	refusals := counts{}
	for n := range applies {
		said, exit := h.run(t, "apply", []string{"A.yaml", "B.yaml"}[n%2])
		switch {
		case exit == 0:
			done++
		case exit == 1 && strings.Contains(said, "rpdb: "):
			refusals[firstLine(said)]++
		default:
			t.Errorf("exit code %d: %s", exit, said)
		}
	}
	stop()
	running.Wait()
	if failed != nil {
		t.Fatalf("the other program: %v", failed)
	}
	t.Logf("%d of %d applies were done, beside %d changes of another program; refused:%v", done, applies, o.made, refusals)
	if done == 0 || o.made < applies {
		t.Errorf("%d applies were done, beside %d changes", done, o.made)
	}
	h.want(t, 0, "apply", "A.yaml")
	h.want(t, 0, "status")
	h.wantOthers(t, o)
}

// wantOthers wants the other program to have what it made, and nothing more.
func (h *host) wantOthers(t *testing.T, o *other) {
	t.Helper()
	s, err := h.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rules, routes := 0, 0
	for _, r := range s.Rules {
		if p := r.Priority; p >= 8000 && p < 9000 || p >= 31000 && p < 32000 {
			rules++
			if !slices.ContainsFunc(o.rules, func(have rpdb.Rule) bool { return have.Canonical() == r.Canonical() }) {
				t.Errorf("a rule that it has not: %v", r)
			}
		}
	}
	for _, r := range s.Routes {
		if r.Table == 7 {
			routes++
		}
	}
	if rules != len(o.rules) || routes != len(o.table) {
		t.Errorf("%d rules and %d routes, and it made %d and %d", rules, routes, len(o.rules), len(o.table))
	}
}

// TestDocumentChangesMeanwhile, all the time while it is read (D11). It is read
// once: what is recorded is what was read, and what is in the kernel is that.
func TestDocumentChangesMeanwhile(t *testing.T) {
	for name, write := range map[string]func(file, text string) error{
		"replaced": func(file, text string) error {
			if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
		"written over": func(file, text string) error { return os.WriteFile(file, []byte(text), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.want(t, 0, "apply", "A.yaml")
			file := filepath.Join(h.dir, "changing.yaml")
			if err := write(file, policies()["A"]); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			var failed error
			running.Go(func() {
				for n := 0; ctx.Err() == nil && failed == nil; n++ {
					failed = write(file, policies()[[]string{"A", "B"}[n%2]])
				}
			})
			seen := counts{}
			for range 6 {
				said, exit := h.run(t, "apply", "changing.yaml")
				in := policyInForce(h.record(t))
				if seen[in]++; name == "replaced" && (exit != 0 || in != "A" && in != "B") {
					t.Errorf("exit code %d, %q is in force: %s", exit, in, said)
				}
				h.want(t, 0, "status")
			}
			stop()
			running.Wait()
			if failed != nil {
				t.Fatal(failed)
			}
			t.Logf("in force:%v", seen)
		})
	}
}
