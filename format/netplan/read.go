package netplan

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"rpdb"
	"rpdb/format"
)

// Read returns what files of netplan say, in any order. The error joins a
// [format.Error] for everything that cannot be read; the snapshot is then nil.
// netplan knows tables by their numbers alone, so there are no names.
//
// The rules are those of the files alone: the kernel's own are not among them,
// nor are the routes that an address brings.
func Read(files []format.File) (*rpdb.Snapshot, rpdb.Names, error) {
	r := &reader{snapshot: &rpdb.Snapshot{}}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b format.File) int { return cmp.Compare(path.Base(a.Path), path.Base(b.Path)) })
	for _, f := range files {
		r.file(f)
	}
	for _, d := range r.definitions {
		r.definition(d)
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, rpdb.Names{}, err
	}
	slices.SortStableFunc(r.snapshot.Rules, rpdb.Rule.Compare)
	return r.snapshot, rpdb.Names{}, nil
}

// reader collects what the files say.
type reader struct {
	snapshot    *rpdb.Snapshot
	definitions []*definition
	errs        []error
}

// definition is what all files say under one name.
type definition struct {
	name, kind string // kind: "ethernets", ...
	parts      []part
}

// part is what one file says.
type part struct {
	file string
	node *yaml.Node
}

// refuse adds an error at a node.
func (r *reader) refuse(file string, at *yaml.Node, object, reason string) {
	text := ""
	if at.Kind == yaml.ScalarNode {
		text = at.Value
	}
	r.errs = append(r.errs, &format.Error{File: file, Line: at.Line, Column: at.Column, Object: object, Text: text, Reason: reason})
}

// most bounds a file, and how deep it nests.
const (
	mostBytes = 1 << 20
	mostDepth = 16
)

// file reads one file into definitions.
func (r *reader) file(f format.File) {
	loader, err := yaml.NewLoader(strings.NewReader(f.Text), yaml.WithPlugin(depthLimit{}))
	var doc, second yaml.Node
	switch {
	case len(f.Text) > mostBytes:
		err = fmt.Errorf("more than %d bytes", mostBytes)
	case err == nil:
		err = loader.Load(&doc)
	}
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) != 1 {
		return // netplan takes no notice of an empty file
	}
	if err == nil && !errors.Is(loader.Load(&second), io.EOF) {
		err = errors.New("there is more than one document, or an error behind the first")
	}
	if err != nil {
		e := &format.Error{File: f.Path, Object: "syntax", Reason: strings.Join(strings.Fields(err.Error()), " ")}
		var le *yaml.LoadError
		if errors.As(err, &le) {
			e.Line, e.Column, e.Reason = le.Mark.Line, le.Mark.Column, le.Message
		}
		r.errs = append(r.errs, e)
		return
	}
	r.document(f.Path, doc.Content[0])
}

// depthLimit refuses what nests too deep for the functions here, which recurse.
type depthLimit struct{}

func (depthLimit) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > mostDepth {
		return fmt.Errorf("nested deeper than %d levels", mostDepth)
	}
	return nil
}

// CheckAlias lets aliases pass: where they stand they are refused.
func (depthLimit) CheckAlias(int, int) error { return nil }

func (r *reader) document(file string, root *yaml.Node) {
	for key, value := range r.mapping(file, root, "document") {
		if key.Value != "network" {
			r.refuse(file, key, "key", "netplan has no such key here")
			continue
		}
		for key, value := range r.mapping(file, value, "network") {
			switch {
			case key.Value == "version":
				if value.Value != "2" {
					r.refuse(file, value, "version", "it is not 2")
				}
			case slices.Contains(definitionKinds(), key.Value):
				for name, node := range r.mapping(file, value, key.Value) {
					r.add(file, key.Value, name.Value, node)
				}
			case key.Value != "renderer" && key.Value != "openvswitch":
				r.refuse(file, key, "key", "netplan has no such key in network")
			}
		}
	}
}

// add adds a part to its definition.
func (r *reader) add(file, kind, name string, node *yaml.Node) {
	for _, d := range r.definitions {
		if d.name == name {
			if d.kind != kind {
				r.refuse(file, node, "definition "+name, "it is of another kind in "+d.parts[0].file)
			}
			d.parts = append(d.parts, part{file, node})
			return
		}
	}
	r.definitions = append(r.definitions, &definition{name, kind, []part{{file, node}}})
}

// mapping yields the keys and values of a mapping. What is none, and a key that
// is there twice, is an error; no value at all is an empty one.
func (r *reader) mapping(file string, node *yaml.Node, object string) func(func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		if node.Kind == yaml.ScalarNode && node.Value == "" {
			return
		}
		if node.Kind != yaml.MappingNode {
			r.refuse(file, node, object, "it is no mapping of keys to values")
			return
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			k, v := node.Content[i], node.Content[i+1]
			switch {
			case k.Kind != yaml.ScalarNode:
				r.refuse(file, k, "key", "it is no word")
			case seen[k.Value]:
				r.refuse(file, k, "key", "it is there twice")
			case v.Kind == yaml.AliasNode:
				r.refuse(file, v, k.Value, "aliases are not read")
			default:
				seen[k.Value] = true
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// items returns the entries of a list.
func (r *reader) items(file string, node *yaml.Node, object string) []*yaml.Node {
	if node.Kind != yaml.SequenceNode {
		if node.Kind != yaml.ScalarNode || node.Value != "" {
			r.refuse(file, node, object, "it is no list")
		}
		return nil
	}
	return node.Content
}
