package snapshot

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"rpdb"
	"rpdb/internal/corpus"
)

func written(t *testing.T, s *rpdb.Snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

const limit = 1 << 20

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(40) {
		want := corpus.New(seed).Snapshot()
		got, err := Read(bytes.NewReader(written(t, want)), limit)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got %+v\nwant %+v", seed, got, want)
		}
	}
}

func TestPlainJSON(t *testing.T) {
	want := corpus.New(3).Snapshot()
	text, err := json.MarshalIndent(map[string]any{"version": 1, "snapshot": want, "findings": []any{map[string]int{"x": 1}}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{text, compressed(string(text))} {
		got, err := Read(bytes.NewReader(data), limit)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestNotASnapshot(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "offset 0: the file stops short",
		"x":                                    "offset 1: invalid character 'x' looking for beginning of value",
		"[]":                                   "offset 1: [ where { is expected",
		"null":                                 `offset 4: null where { is expected`,
		`"text"`:                               `offset 6: "text" where { is expected`,
		`{"version":1,"snapshot":{"links":7}}`: `offset 34, links: 7 where [ is expected`,
		"{}":                                   `offset 2: no "version": this is no snapshot`,
		`{"version":1}`:                        `offset 13: no "snapshot": this is no snapshot`,
		`{"version":2,"snapshot":{}}`:          "offset 12, version: version 2 of the format, and this program knows up to 1",
		`{"version":0,"snapshot":{}}`:          "offset 12, version: version 0 of the format, and this program knows up to 1",
		`{"version":1,"snapshot":{"x":1}}`:     `offset 28, x: unknown key "x"`,
		`{"version":1,"snapshot":{}} {}`:       "offset 29: something stands behind the snapshot",
		`{"version":1,"snapshot":{"rules":`:    "offset 33, rules: the file stops short",
		`{"version":1,"snapshot":{"rules":[{"priority":"x"}]}}`:    `offset 50, rules[0]: json: cannot unmarshal string into Go struct field Rule.priority of type rpdb.Priority`,
		`{"version":1,"snapshot":{"links":[{"index":1,"nam":1}]}}`: `offset 53, links[0]: json: unknown field "nam"`,
		`{"version":1,"snapshot":{"links":[],"links":[]}}`:         `offset 43, links: key "links" stands twice`,
		`{"version":1,"snapshot":{"links":{}}}`:                    `offset 34, links: { where [ is expected`,
	} {
		s, err := Read(strings.NewReader(text), limit)
		var bad *Error
		if s != nil || !errors.As(err, &bad) || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// A file may be cut anywhere, and any bit of it may be wrong: the check sum of
// gzip tells.
func TestDamage(t *testing.T) {
	whole := written(t, corpus.New(5).Snapshot())
	for n := 0; n < len(whole); n += 1 + n/16 {
		if _, err := Read(bytes.NewReader(whole[:n]), limit); !errors.Is(err, io.ErrUnexpectedEOF) && n > 1 {
			t.Fatalf("cut at %d of %d: got %v", n, len(whole), err)
		}
	}
	for n := 10; n < len(whole); n += 1 + n/16 { // behind the header, which says nothing
		bent := bytes.Clone(whole)
		bent[n] ^= 0x10
		if _, err := Read(bytes.NewReader(bent), limit); err == nil {
			t.Errorf("byte %d of %d is wrong, and nobody saw it", n, len(whole))
		}
	}
}

func TestLimit(t *testing.T) {
	bomb := compressed(`{"version":1,"snapshot":{"kernel":"` + strings.Repeat("x", limit) + `"}}`)
	if _, err := Read(bytes.NewReader(bomb), limit); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

// A small file can hold a long list of nothing, each entry of which takes memory.
func TestEntriesAreBounded(t *testing.T) {
	bomb := compressed(`{"version":1,"snapshot":{"rules":[{}` + strings.Repeat(",{}", limit/4) + `]}}`)
	_, err := Read(bytes.NewReader(bomb), limit)
	var bad *Error
	if !errors.As(err, &bad) || !strings.HasPrefix(bad.In, "rules[") || bad.Err.Error() != "more entries than any host has" {
		t.Errorf("got %v", err)
	}
}

// Nothing may stand behind a compressed snapshot.
func TestTrailingGarbage(t *testing.T) {
	whole := written(t, corpus.New(5).Snapshot())
	for _, more := range []string{"x", "\x00\x00", "\x1f\x8b", string(whole)} {
		if s, err := Read(bytes.NewReader(append(bytes.Clone(whole), more...)), limit); err == nil || s != nil {
			t.Errorf("%.4q behind the file: %v", more, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"version":1,"snapshot":{"rules":[{"family":"ipv4","priority":1}]}}`))
	f.Add(compressed(`{"version":1,"snapshot":{"routes":[],"kernel":"6.18"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(bytes.NewReader(data), limit)
		if (s == nil) == (err == nil) {
			t.Fatalf("got %v and %v", s, err)
		}
		if err != nil {
			return
		}
		if _, err := Read(bytes.NewReader(written(t, s)), 1<<30); err != nil {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}
