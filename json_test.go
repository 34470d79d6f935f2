package rpdb_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rpdb"
)

// compare lets go-cmp look into the values with == where they have it.
var compare = cmp.Exporter(func(reflect.Type) bool { return true })

// roundTrip tries that JSON gives back what it was given.
func roundTrip[T any](t *testing.T) {
	t.Run(reflect.TypeFor[T]().Name(), func(t *testing.T) {
		eachRound(t, func(t *testing.T, g generator) {
			want := random[T](g)
			data, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var got T
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatalf("%v in %s", err, data)
			}
			if diff := cmp.Diff(want, got, compare); diff != "" {
				t.Fatalf("%s\n%s", diff, data)
			}
			again, err := json.Marshal(got)
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("%v, second time %s, first %s", err, again, data)
			}
		})
	})
}

func TestJSONRoundTrip(t *testing.T) {
	roundTrip[rpdb.Rule](t)
	roundTrip[rpdb.Selector](t)
	roundTrip[rpdb.Action](t)
	roundTrip[rpdb.Suppressor](t)
	roundTrip[rpdb.Route](t)
	roundTrip[rpdb.Nexthop](t)
	roundTrip[rpdb.NexthopObject](t)
	roundTrip[rpdb.Link](t)
	roundTrip[rpdb.Address](t)
	roundTrip[rpdb.Neighbour](t)
	roundTrip[rpdb.Flow](t)
	roundTrip[rpdb.Decision](t)
	roundTrip[rpdb.Sysctls](t)
	roundTrip[rpdb.Snapshot](t)
	roundTrip[rpdb.Names](t)
	roundTrip[rpdb.Change](t)
	roundTrip[rpdb.Desired](t)
	roundTrip[rpdb.Translation](t)
}

// TestJSONForm pins the form of the nouns: it is a promise to programs.
func TestJSONForm(t *testing.T) {
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{
			"the plainest rule", rpdb.DefaultRules(rpdb.IPv6)[1],
			`{"family":"inet6","priority":32766,"action":{"type":"table","table":254},"protocol":2}`,
		},
		{
			"a rule with much to say",
			rpdb.Rule{
				Family: rpdb.IPv4, Priority: 100,
				Selector: rpdb.Selector{
					Not: true, From: prefix("192.0.2.0/24"), DSCP: rpdb.Some(rpdb.DSCP{Value: 0, Mask: 0x3f}),
					Mark: rpdb.Mark{Value: 1, Mask: 0xff}, UIDRange: rpdb.Some(rpdb.UIDRange{}), DPort: rpdb.Port(53), OIF: "eth1",
				},
				Action: rpdb.Goto(200), Suppress: rpdb.Suppressor{PrefixLength: rpdb.Some[int32](0)}, Unknown: "\x01\x02",
			},
			`{"family":"inet","priority":100,"selector":{"not":true,"from":"192.0.2.0/24","dscp":{"value":0,"mask":63},` +
				`"fwmark":{"value":1,"mask":255},"oif":"eth1","uidrange":{"first":0,"last":0},"dport":{"first":53,"last":53,"mask":65535}},` +
				`"action":{"type":"goto","target":200},"suppress":{"prefix_length":0},"unknown":"AQI="}`,
		},
		{
			"a default route",
			rpdb.Route{
				Family: rpdb.IPv4, Table: 1001, Dst: prefix("0.0.0.0/0"), Type: rpdb.RouteUnicast, Scope: rpdb.ScopeLink,
				Nexthops: []rpdb.Nexthop{{Via: addr("192.0.2.1"), Link: 2}}, Metrics: []rpdb.Metric{{Type: rpdb.MetricMTU, Value: 1400}},
			},
			`{"family":"inet","table":1001,"dst":"0.0.0.0/0","type":"unicast","scope":"link",` +
				`"nexthops":[{"via":"192.0.2.1","link":2}],"metrics":[{"type":2,"value":1400}]}`,
		},
		{
			"a flow",
			rpdb.Flow{Dst: addr("2001:db8::1"), UID: 1000, Socket: rpdb.Connect},
			`{"dst":"2001:db8::1","uid":1000,"socket":"connect"}`,
		},
		{
			"a refusal",
			rpdb.Decision{Disposition: rpdb.Refused, Errno: rpdb.EACCES, ICMP: rpdb.ICMPError{Type: 3, Code: 13}, Rule: rpdb.Some[rpdb.Priority](0)},
			`{"disposition":"refused","errno":"EACCES","icmp":{"type":3,"code":13},"rule":0}`,
		},
		{
			"a way out",
			rpdb.Decision{Disposition: rpdb.Sent, Table: 254, Type: rpdb.RouteUnicast, Hop: rpdb.Hop{Link: "eth0", Via: addr("192.0.2.1")}},
			`{"disposition":"sent","table":254,"type":"unicast","link":"eth0","via":"192.0.2.1"}`,
		},
		{"a change", rpdb.RuleChange(rpdb.Delete, rpdb.Rule{Family: rpdb.IPv4}), `{"op":"delete","rule":{"family":"inet","priority":0,"action":{"type":"unspec"}}}`},
		{"what has no word", rpdb.Route{Family: 7, Type: 99, Scope: 5}, `{"family":"7","table":0,"dst":"","type":"99","scope":"5"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.value)
			if err != nil || string(got) != c.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, c.want)
			}
		})
	}
}

// TestJSONRefuses tries input that is not of the form.
func TestJSONRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"family":"ipx"}`:                       `parse family "ipx": unknown word`,
		`{"family":"256"}`:                       `parse family "256": unknown word`,
		`{"action":{"type":"jump"}}`:             `parse action "jump": unknown word`,
		`{"action":7}`:                           "cannot unmarshal",
		`{"selector":{"from":"192.0.2.0"}}`:      "no '/'",
		`{"selector":{"dscp":"EF"}}`:             "cannot unmarshal",
		`{"selector":{"uidrange":{"first":-1}}}`: "cannot unmarshal",
		`{"suppress":{"prefix_length":"0"}}`:     "cannot unmarshal",
		`{"unknown":"%"}`:                        "parse raw attributes",
		`{"priority":4294967296}`:                "cannot unmarshal",
	} {
		var r rpdb.Rule
		if err := json.Unmarshal([]byte(in), &r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", in, err, want)
		}
	}
}
