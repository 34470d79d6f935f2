package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// TestGenerated keeps schema.json and the tables of the reference equal to the
// key table; with -update it writes them.
func TestGenerated(t *testing.T) {
	generated(t, "schema.json", Schema())
	page := filepath.Join("..", "docs", "policy.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	generated(t, page, []byte(withTables(t, string(text))))
}

func generated(t *testing.T, file string, want []byte) {
	t.Helper()
	have, err := os.ReadFile(file)
	if err == nil && bytes.Equal(have, want) {
		return
	}
	if !*update {
		t.Errorf("%s is stale: go generate ./policy (%v)", file, err)
		return
	}
	if err := os.WriteFile(file, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// withTables puts each key table between its two marks.
func withTables(t *testing.T, page string) string {
	t.Helper()
	k := newKeys()
	for name, table := range map[string]string{
		"policy": keyTable(k.document), "uplink": keyTable(k.uplink), "uplink table": keyTable(k.uplinkTable),
		"table": keyTable(k.table), "route": keyTable(k.route), "nexthop": keyTable(k.nexthop), "rule": keyTable(k.rule),
		"nat": keyTable(k.nat),
	} {
		begin, end := "<!-- keys: "+name+" -->\n", "<!-- end -->\n"
		before, rest, ok := strings.Cut(page, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Errorf("the reference has no table of keys %q", name)
			continue
		}
		page = before + begin + table + end + after
	}
	return page
}

func keyTable[T any](m *mapping[T]) string {
	var b strings.Builder
	b.WriteString("| key | value | meaning |\n|---|---|---|\n")
	for _, f := range m.fields {
		key := "`" + f.key + "`"
		if f.required {
			key += " (required)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", key, f.shape.words, f.doc)
	}
	return b.String()
}

// goodFiles are documents that are right: the examples, the snippets of the
// reference, and those of the resolve stories.
func goodFiles(t *testing.T) map[string]string {
	t.Helper()
	good := map[string]string{}
	for _, file := range stories(t, "../examples/*.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		good[file] = string(data)
	}
	for _, file := range stories(t, "testdata/resolve/*.txt") {
		good[file] = readStory(t, file)["policy.yaml"]
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```yaml\n")
	for i, part := range parts[1:] {
		text, _, _ := strings.Cut(part, "```")
		good[fmt.Sprintf("docs/policy.md snippet %d", i+1)] = text
	}
	if len(parts) < 5 {
		t.Errorf("the reference has %d snippets of YAML only", len(parts)-1)
	}
	return good
}

func TestGoodFilesParse(t *testing.T) {
	for name, text := range goodFiles(t) {
		if _, err := Parse(name, []byte(text)); err != nil {
			t.Error(err)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance turns YAML into the values that a schema is asked about, as
// editors do.
func instance(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Load([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v, err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaAcceptsGoodFiles(t *testing.T) {
	s := compileSchema(t)
	for name, text := range goodFiles(t) {
		if err := s.Validate(instance(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses asks the schema and the parser about small faults that a
// schema can see: both must refuse each.
func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	for _, text := range []string{
		"[]", "version: 2", "version: one", "uplink: []", "rules: {}", "rules: [uplink]",
		"uplinks: [{interface: eth0}]",
		"uplinks: [{gateways: [10.0.0.1]}]",
		"uplinks: [{interface: eth0, gateways: []}]",
		"uplinks: [{interface: eth0, gateways: 10.0.0.1}]",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1, 10.0.0.2, 10.0.0.3]}]",
		"uplinks: [{interface: 7, gateways: [10.0.0.1]}]",
		"uplinks: [{interface: a-name-that-is-too-long, gateways: [10.0.0.1]}]",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1/24]}]",
		"uplinks: [{interface: eth0, gateways: auto}]",
		"uplinks: [{interface: eth0, gateways: [dhcp]}]",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1], addresses: [10.0.0.10]}]",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1], table: {}}]",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1], table: 0}]",
		"uplinks: [{interface: eth0, gateways: [10.0.0.1], table: {id: 5}}]",
		"tables: [{routes: []}]",
		"tables: [{name: 1st}]",
		"tables: [{number: '200'}]",
		"tables: [{number: -1}]",
		"tables: [{name: t, routes: [{dev: eth0}]}]",
		"tables: [{name: t, routes: [{to: everywhere, dev: eth0}]}]",
		"tables: [{name: t, routes: [{to: default, type: nat}]}]",
		"tables: [{name: t, routes: [{to: default, dev: eth0, mtu: 67}]}]",
		"tables: [{name: t, routes: [{to: default, dev: eth0, onlink: 'yes'}]}]",
		"tables: [{name: t, routes: [{to: default, nexthops: [{weight: 1}, {dev: eth0}]}]}]",
		"tables: [{name: t, routes: [{to: default, nexthops: [{dev: eth1, weight: 257}, {dev: eth0}]}]}]",
		"tables: [{name: t, routes: [{to: default, dev: eth0, family: inet}]}]",
		"rules: [{from: 10.0.0.0/8}]",
		"rules: [{lookup: main, action: nop}]",
		"rules: [{lookup: main, table: main}]",
		"rules: [{lookup: main, goto: 32766}]",
		"rules: [{l3mdev: true, lookup: main}]",
		"rules: [{l3mdev: false}]",
		"rules: [{action: drop}]",
		"rules: [{lookup: 0}]",
		"rules: [{lookup: [main]}]",
		"rules: [{lookup: main, not: 1}]",
		"rules: [{lookup: main, from: [10.0.0.0/8]}]",
		"rules: [{lookup: main, from: all}]",
		"rules: [{lookup: main, tos: 256}]",
		"rules: [{lookup: main, dscp: 64}]",
		"rules: [{lookup: main, fwmark: 1_0/5}]",
		"rules: [{lookup: main, fwmark: 4294967296}]",
		"rules: [{lookup: main, uidrange: root}]",
		"rules: [{lookup: main, uidrange: 4294967295}]",
		"rules: [{lookup: main, ipproto: 0}]",
		"rules: [{lookup: main, dport: 0}]",
		"rules: [{lookup: main, dport: 65535}]",
		"rules: [{lookup: main, dport: http}]",
		"rules: [{lookup: main, flowlabel: 0x100000}]",
		"rules: [{lookup: main, tun_id: 0}]",
		"rules: [{lookup: main, suppress_prefixlength: -1}]",
		"rules: [{lookup: main, suppress_prefixlength: 129}]",
		"rules: [{lookup: main, priority: '100'}]",
		"rules: [{lookup: main, prioritiy: 100}]",
		"rules: [{lookup: main, realms: 1/2/3, family: ipv4}]",
	} {
		if _, err := Parse("p.yaml", []byte(text)); err == nil {
			t.Errorf("Parse accepts %s", text)
		}
		if err := s.Validate(instance(t, text)); err == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
}
