package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"rpdb"
)

// Parse reads a policy document. The file name is only used in messages.
//
// The document is YAML, and strict: unknown and doubled keys, wrong types,
// anchors, aliases, tags, several documents in one file and more than 1 MiB
// are refused, and so is every value that no one can mean. The error is an
// [ErrorList] with all that is wrong, each with its place; the Document is
// then nil.
func Parse(file string, data []byte) (*Document, error) { return parse(file, data, newKeys()) }

// parse is Parse with a key table that was made before.
func parse(file string, data []byte, k keys) (*Document, error) {
	p := &parser{reporter: reporter{file: file}, src: newSource(data), keys: k}
	root := p.load(data)
	if root == nil {
		return nil, p.err()
	}
	p.refuseReferences(root)
	doc := &draft{Document: Document{File: file}, marker: -1}
	decode(p, root, p.keys.document, doc)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &doc.Document, nil
}

// parser walks the nodes of one file.
type parser struct {
	reporter
	src  source
	keys keys
}

// draft is a document being read.
type draft struct {
	Document
	marker int // index of the item "uplinks" among the rules; -1: none
	// markerNode is where it stands.
	markerNode *yaml.Node
}

// mapping describes one kind of mapping: what it is called and its keys.
type mapping[T any] struct {
	name   string // with article, as in "an uplink"
	fields []field[T]
	// check looks at the keys together, after each was read.
	check func(p *parser, m entries, into *T)
}

// field is one key of a mapping.
type field[T any] struct {
	key      string
	doc      string // what it means, in a sentence without a full stop
	shape    shape
	required bool
	read     func(p *parser, key string, n *yaml.Node, into *T)
}

// shape is what the reference and the schema say about a value.
type shape struct {
	words  string // as the reference says it
	schema map[string]any
}

// entries are the keys of one mapping as they were written.
type entries struct {
	node   *yaml.Node
	values map[string]*yaml.Node
}

func (e entries) has(key string) bool { return e.values[key] != nil }

// anyOf returns the first of the keys that is there, "" if none is.
func (e entries) anyOf(keys ...string) string {
	for _, k := range keys {
		if e.has(k) {
			return k
		}
	}
	return ""
}

// decode reads a mapping into a value. What is wrong is reported; the value
// then holds what is right.
func decode[T any](p *parser, n *yaml.Node, m *mapping[T], into *T) {
	if n.Kind != yaml.MappingNode {
		p.wrongType(n, m.noun(), "a mapping of keys and values")
		return
	}
	e := entries{node: n, values: map[string]*yaml.Node{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f := m.find(key)
		switch {
		case f == nil:
			p.unknownKey(key, m.name, m.keys())
			continue
		case e.has(f.key):
			p.fail(key, "key", bad("stands there twice, first with the value in line %d", e.values[f.key].Line))
			continue
		}
		e.values[f.key] = value
		f.read(p, f.key, value, into)
	}
	for _, f := range m.fields {
		if f.required && !e.has(f.key) {
			p.report(Error{Position: p.at(n), Object: m.noun(), Reason: fmt.Sprintf("the key %q is missing", f.key)})
		}
	}
	if m.check != nil {
		m.check(p, e, into)
	}
}

// noun returns the name without its article.
func (m *mapping[T]) noun() string {
	_, noun, _ := strings.Cut(m.name, " ")
	return noun
}

func (m *mapping[T]) find(key *yaml.Node) *field[T] {
	if key.Kind != yaml.ScalarNode {
		return nil
	}
	for i := range m.fields {
		if m.fields[i].key == key.Value {
			return &m.fields[i]
		}
	}
	return nil
}

func (m *mapping[T]) keys() []string {
	names := make([]string, len(m.fields))
	for i, f := range m.fields {
		names[i] = f.key
	}
	return names
}

// list reads a sequence of at most limit items.
func list(p *parser, key string, n *yaml.Node, limit int, item func(*yaml.Node)) {
	switch {
	case isNull(n):
		p.fail(n, key, bad("has no value").try("leave the key out, or write [] for an empty list"))
		return
	case n.Kind != yaml.SequenceNode:
		p.wrongType(n, key, "a list")
		return
	case len(n.Content) > limit:
		p.fail(n, key, bad("%d items are more than the limit of %d", len(n.Content), limit))
		return
	}
	for _, c := range n.Content {
		item(c)
	}
}

// fail reports a problem with a node.
func (p *parser) fail(n *yaml.Node, object string, why *problem) {
	p.report(Error{Position: p.at(n), Object: object, Text: p.text(n), Reason: why.reason, Hint: why.hint})
}

const colonHint = "an address that ends in a colon needs quotes"

// wrongType reports a node of the wrong kind. Aliases have been reported
// before.
func (p *parser) wrongType(n *yaml.Node, object, want string) {
	why := bad("%s where %s should be", kindWord(n), want)
	switch {
	case n.Kind == yaml.AliasNode:
		return
	case n.Kind == yaml.MappingNode && len(n.Content) > 0 && strings.Contains(n.Content[0].Value, ":"):
		why = why.try(colonHint)
	}
	p.fail(n, object, why)
}

func (p *parser) at(n *yaml.Node) Position { return p.src.clamp(Position{n.Line, n.Column}) }

// text returns a node as it is written, or the first line of it.
func (p *parser) text(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return p.src.rest(p.at(n))
}

func kindWord(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "no value"
	}
	return "a single value"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// refuseReferences reports anchors, aliases, merge keys and tags: a policy
// says what it says where it stands.
func (p *parser) refuseReferences(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		p.report(Error{Position: p.at(n), Object: "alias", Text: "*" + n.Value, Reason: "aliases are not part of the format", Hint: "write the value out"})
		return
	case n.Anchor != "":
		p.report(Error{Position: p.at(n), Object: "anchor", Text: "&" + n.Anchor, Reason: "anchors are not part of the format"})
	case n.Style&yaml.TaggedStyle != 0:
		p.report(Error{Position: p.at(n), Object: "tag", Text: n.Tag, Reason: "tags are not part of the format"})
	}
	for _, c := range n.Content {
		p.refuseReferences(c)
	}
}

// unknownKey reports a key that the mapping does not have, with the key that
// was probably meant.
func (p *parser) unknownKey(key *yaml.Node, name string, known []string) {
	why := bad("%s has no such key", name)
	if key.Kind == yaml.ScalarNode && key.Tag == "!!merge" {
		why = bad("merge keys are not part of the format").try("write the keys out")
	} else if near := nearest(key.Value, known); near != "" {
		why = why.try("did you mean %q?", near)
	} else {
		why = why.try("its keys are %s", strings.Join(known, ", "))
	}
	p.fail(key, "key", why)
}

// nearest returns the known word that was probably meant, "" if none was.
func nearest(word string, known []string) string {
	if near := rpdb.NearWords(word, known); len(near) > 0 {
		return near[0]
	}
	return ""
}

// nearestSorted is nearest for words without an order of their own.
func nearestSorted(word string, known []string) string {
	slices.Sort(known)
	return nearest(word, known)
}
