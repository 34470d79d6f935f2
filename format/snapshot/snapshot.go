package snapshot

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"rpdb"
)

// Version is the version of the format that this package writes, and the last
// one that it reads.
const Version = 1

// document is a file.
type document struct {
	Version  int            `json:"version"`
	Snapshot *rpdb.Snapshot `json:"snapshot"`
}

// Write writes a snapshot, compressed. It does not close w.
func Write(w io.Writer, s *rpdb.Snapshot) error {
	z := gzip.NewWriter(w)
	if err := json.NewEncoder(z).Encode(document{Version, s}); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Error says where a file is not a snapshot.
type Error struct {
	Offset int64  // in bytes of the JSON text, after decompression
	In     string // what stands there, as in "routes[17]"; "" for the file itself
	Err    error
}

// Error names the place and the reason.
func (e *Error) Error() string {
	if e.In == "" {
		return fmt.Sprintf("offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("offset %d, %s: %v", e.Offset, e.In, e.Err)
}

// Unwrap returns the reason, [io.ErrUnexpectedEOF] for a file that stops short.
func (e *Error) Unwrap() error { return e.Err }

// Read reads a snapshot to the end of r, compressed or not. A text of more than
// limit bytes after decompression is refused, and so is one whose entries take
// more than twice that in memory, such as a long list of empty ones; memory grows
// with the snapshot, not with the text. The error is of type *[Error] unless r failed.
func Read(r io.Reader, limit int64) (*rpdb.Snapshot, error) {
	in := bufio.NewReader(r)
	text := &bounded{r: in, left: limit, limit: limit}
	if magic, _ := in.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, &Error{Err: whole(err)}
		}
		text.r = z
	}
	d := &decoder{Decoder: json.NewDecoder(text), memory: 2 * limit}
	d.DisallowUnknownFields()
	s, err := d.file()
	if err != nil {
		return nil, &Error{Offset: d.offset(err), In: d.in, Err: whole(err)}
	}
	return s, nil
}

// whole gives every way in which a file stops short one error.
func whole(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return shortError{}
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("the file is damaged: %w", err)
	}
	return err
}

// shortError is a file that ends before the snapshot does.
type shortError struct{}

func (shortError) Error() string { return "the file stops short" }

func (shortError) Unwrap() error { return io.ErrUnexpectedEOF }

// bounded is a reader that fails rather than go beyond its limit.
type bounded struct {
	r           io.Reader
	left, limit int64
}

// Read reads on.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("more than %d bytes of text", b.limit)
	}
	return n, err
}

// decoder reads a file value by value, so that it is never in memory as text.
type decoder struct {
	*json.Decoder
	in     string // what is being read
	memory int64  // that entries may still take
}

// offset returns where an error is.
func (d *decoder) offset(err error) int64 {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Offset
	}
	return d.InputOffset()
}

func (d *decoder) file() (*rpdb.Snapshot, error) {
	var s *rpdb.Snapshot
	seen := false
	err := d.object(func(key string) error {
		switch key {
		case "version":
			seen = true
			return d.version()
		case "snapshot":
			s = &rpdb.Snapshot{}
			return d.snapshot(s)
		case "findings", "assumed": // of "rpdb show --json"
			return d.Decode(&json.RawMessage{})
		}
		return fmt.Errorf("unknown key %q", key)
	})
	switch {
	case err != nil:
		return nil, err
	case !seen:
		return nil, fmt.Errorf("no \"version\": this is no snapshot")
	case s == nil:
		return nil, fmt.Errorf("no \"snapshot\": this is no snapshot")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // which also checks the sum of a compressed file
		if err == nil {
			err = fmt.Errorf("something stands behind the snapshot")
		}
		return nil, err
	}
	return s, nil
}

func (d *decoder) version() error {
	var v int
	if err := d.Decode(&v); err != nil {
		return err
	}
	if v < 1 || v > Version {
		return fmt.Errorf("version %d of the format, and this program knows up to %d", v, Version)
	}
	return nil
}

// snapshot reads the fields of a snapshot. Each may stand once.
func (d *decoder) snapshot(s *rpdb.Snapshot) error {
	seen := map[string]bool{}
	return d.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("key %q stands twice", key)
		}
		seen[key] = true
		switch key {
		case "rules":
			return array(d, &s.Rules)
		case "routes":
			return array(d, &s.Routes)
		case "links":
			return array(d, &s.Links)
		case "addresses":
			return array(d, &s.Addresses)
		case "neighbours":
			return array(d, &s.Neighbours)
		case "nexthop_objects":
			return array(d, &s.Nexthops)
		case "sysctls":
			return d.Decode(&s.Sysctls)
		case "customised_ipv4":
			return d.Decode(&s.Custom4)
		case "customised_ipv6":
			return d.Decode(&s.Custom6)
		case "nat":
			return d.Decode(&s.NAT)
		case "kernel":
			return d.Decode(&s.Kernel)
		case "missing":
			return d.Decode(&s.Missing)
		case "missing_tables":
			return array(d, &s.MissingTables)
		}
		return fmt.Errorf("unknown key %q", key)
	})
}

// object gives every key of the object that follows to field, which reads its
// value.
func (d *decoder) object(field func(key string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	outer := d.in
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		d.in, _ = token.(string) // keys are strings
		if err := field(d.in); err != nil {
			return err
		}
		d.in = outer
	}
	return d.delim('}')
}

func (d *decoder) delim(want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("%s where %v is expected", shown(token), want)
	}
	return err
}

// shown is a token as it stands in the text.
func shown(token json.Token) string {
	switch token := token.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(token)
	}
	return fmt.Sprint(token)
}

// array reads the array that follows, or null.
func array[T any](d *decoder, list *[]T) error {
	name := d.in
	token, err := d.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return fmt.Errorf("%s where [ is expected", shown(token))
	}
	for d.More() {
		var v T
		d.in = fmt.Sprintf("%s[%d]", name, len(*list))
		if d.memory -= int64(reflect.TypeFor[T]().Size()); d.memory < 0 {
			return fmt.Errorf("more entries than any host has")
		}
		if err := d.Decode(&v); err != nil {
			return err
		}
		*list = append(*list, v)
	}
	d.in = name
	return d.delim(']')
}
