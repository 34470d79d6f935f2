package fib

import (
	"encoding/json"
	"testing"

	"rpdb"
)

// TestStepJSONNamesTheOutcome: whoever reads the JSON of a trace can tell all
// outcomes apart, also those that have nothing more to say.
func TestStepJSONNamesTheOutcome(t *testing.T) {
	details := []Detail{
		NotMatched{Field: "from"},
		Miss{Table: 9},
		NoTable{Table: 9},
		Throw{Table: 9},
		Suppressed{Table: 9, By: "suppress_ifgroup"},
		Chosen{Table: 9},
		Denied{Errno: rpdb.EACCES},
		GotoFollowed{Target: 9},
		GotoUnresolved{Target: 9},
		NopPassed{},
		NotAsked{},
		Unknown{Reason: "why"},
	}
	seen := map[string]bool{}
	for _, d := range details {
		data, err := json.Marshal(Step{Rule: rpdb.Rule{Family: rpdb.IPv4, Action: rpdb.Nop()}, Detail: d})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Outcome string         `json:"outcome"`
			Detail  map[string]any `json:"detail"`
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Outcome == "" || seen[got.Outcome] {
			t.Errorf("%T: outcome %q is empty or not its own", d, got.Outcome)
		}
		seen[got.Outcome] = true
		_, isNop := d.(NopPassed)
		_, isNotAsked := d.(NotAsked)
		if says := len(got.Detail) > 0; says == (isNop || isNotAsked) {
			t.Errorf("%T: detail %v", d, got.Detail)
		}
	}
}
