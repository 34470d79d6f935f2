package nft_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"rpdb"
	"rpdb/kernel/kerneltest"
	"rpdb/nft"
)

// TestWatch: what becomes of our tables is told, and of those of others nothing.
func TestWatch(t *testing.T) {
	ns := kerneltest.Namespace(t)
	c := open(t, ns)
	w, err := nft.Watch(nft.Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	told := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.Next(ctx); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for { // the rest of the transaction
			ended, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := w.Next(ended)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				return
			}
			must(t, err)
		}
	}
	list := []rpdb.Translation{{Family: rpdb.IPv4, Kind: rpdb.TranslateBlock, From: prefix("10.1.0.0/24"), To: prefix("203.0.113.0/24"), Realm: 12000, Rule: 500, CopyOf: 100, Inbound: true}}
	must(t, c.Replace(t.Context(), list))
	told("made")
	must(t, c.Delete(t.Context()))
	told("deleted")

	ended, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.Next(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing has happened: %v", err)
	}
}

// TestWatchOfOthers: the tables of others may come and go.
func TestWatchOfOthers(t *testing.T) {
	ns := kerneltest.Namespace(t)
	w, err := nft.Watch(nft.Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	program(t, ns, "add table ip other { chain rpdb { type filter hook forward priority 0; tcp dport 22 accept; }; }")
	program(t, ns, "add table inet rpdb2")
	ended, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.Next(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of tables of others: %v", err)
	}
	must(t, open(t, ns).Replace(t.Context(), []rpdb.Translation{{Family: rpdb.IPv4, Kind: rpdb.TranslateMasquerade, Realm: 12000, Rule: 500, CopyOf: 100}}))
	must(t, w.Next(t.Context()))
	program(t, ns, "flush ruleset")
	must(t, w.Next(t.Context()))
}
