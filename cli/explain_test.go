package cli

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"rpdb"
)

// emptyHost has rules and no routes.
func emptyHost() *rpdb.Snapshot {
	return &rpdb.Snapshot{Rules: append(rpdb.DefaultRules(rpdb.IPv4), rpdb.DefaultRules(rpdb.IPv6)...)}
}

// explainedFlows is what explaining several flows prints.
func explainedFlows(t *testing.T, asJSON bool, flows ...namedFlow) (string, error) {
	t.Helper()
	var out strings.Builder
	a := &app{Streams: Streams{Out: &out, Err: &out}, json: asJSON, root: t.TempDir()}
	err := a.explainFlows(t.Context(), emptyHost(), nil, flows)
	return out.String(), err
}

// TestSeveralFlows: each has its title, and JSON is a list of any length.
func TestSeveralFlows(t *testing.T) {
	four := namedFlow{"a socket of IPv4", rpdb.Flow{Dst: netip.MustParseAddr("192.0.2.1")}}
	six := namedFlow{"one with a \x1b in it", rpdb.Flow{Dst: netip.MustParseAddr("2001:db8::1")}}
	text, err := explainedFlows(t, false, four, six)
	if err != nil || !strings.HasPrefix(text, "a socket of IPv4\n") || !strings.Contains(text, "\n\n\"one with a \\x1b in it\"\n") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, flows := range [][]namedFlow{{}, {four}, {four, six}} {
		text, err := explainedFlows(t, true, flows...)
		var got struct {
			Version int
			Flows   []struct{ Title string }
		}
		if err == nil {
			err = json.Unmarshal([]byte(text), &got)
		}
		if err != nil || got.Version != 1 || got.Flows == nil || len(got.Flows) != len(flows) {
			t.Fatalf("%d flows: %v\n%s", len(flows), err, text)
		}
		for i, f := range flows {
			if got.Flows[i].Title != f.title {
				t.Errorf("title %q, want %q", got.Flows[i].Title, f.title)
			}
		}
	}
	four.flow.OIF = "gone"
	if text, err := explainedFlows(t, false, six, four); err == nil || text != "" {
		t.Errorf("an interface that is not there: %v\n%s", err, text)
	}
}
