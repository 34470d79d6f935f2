package policy

import "encoding/json"

//go:generate go test -run "^TestGenerated$" -update .

// Schema returns the JSON Schema (draft 2020-12) of the document, indented, for
// editors. It is made from the key table that Parse uses. It is necessary, not
// sufficient: what depends on several values, or on how a number is written,
// only Parse checks.
func Schema() []byte {
	k := newKeys()
	root := k.document.schema(nil)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "rpdb policy"
	root["$defs"] = map[string]any{
		"uplink":      k.uplink.schema(nil),
		"uplinkTable": k.uplinkTable.schema(map[string]any{"minProperties": 1}),
		"table":       k.table.schema(map[string]any{"anyOf": required("name", "number")}),
		"route":       k.route.schema(nil),
		"nexthop":     k.nexthop.schema(map[string]any{"anyOf": required("via", "dev")}),
		"rule":        k.rule.schema(oneAction()),
		"nat":         k.nat.schema(nil),
	}
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("schema of maps, words and numbers does not marshal: " + err.Error())
	}
	return append(data, '\n')
}

// schema returns the schema of a mapping, with the constraints of more.
func (m *mapping[T]) schema(more map[string]any) map[string]any {
	properties, must := map[string]any{}, []string{}
	for _, f := range m.fields {
		property := map[string]any{"description": f.doc}
		for k, v := range f.shape.schema {
			property[k] = v
		}
		properties[f.key] = property
		if f.required {
			must = append(must, f.key)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(must) > 0 {
		s["required"] = must
	}
	for k, v := range more {
		s[k] = v
	}
	return s
}

// required returns one alternative for each key, that it is there.
func required(keys ...string) []any {
	alternatives := make([]any, len(keys))
	for i, k := range keys {
		alternatives[i] = map[string]any{"required": []string{k}}
	}
	return alternatives
}

// oneAction wants one of the keys that say what a rule does. A true l3mdev is
// enough, and goes without lookup.
func oneAction() map[string]any {
	vrf := map[string]any{"properties": map[string]any{"l3mdev": map[string]any{"const": true}}, "required": []string{"l3mdev"}}
	alone := map[string]any{"allOf": []any{vrf, map[string]any{"not": map[string]any{"anyOf": required("lookup", "table", "goto", "action")}}}}
	noVRF := map[string]any{"not": vrf}
	lookups := required("lookup", "table")
	for i, l := range lookups {
		lookups[i] = map[string]any{"allOf": []any{l, noVRF}}
	}
	return map[string]any{"oneOf": append(append(lookups, required("goto", "action")...), alone)}
}
