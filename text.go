package rpdb

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// wordTable spells the numbers of one kind in words. A number without a word
// is spelled in decimal, so nothing that the kernel can say is lost.
type wordTable[T ~uint8 | ~uint16 | ~uint32] struct {
	kind  string
	words []wordOf[T]
}

// wordOf is the word of one number.
type wordOf[T ~uint8 | ~uint16 | ~uint32] struct {
	value T
	word  string
}

// word returns the word of v, or v in decimal.
func (t wordTable[T]) word(v T) string {
	for i := range t.words {
		if t.words[i].value == v {
			return t.words[i].word
		}
	}
	return strconv.FormatUint(uint64(v), 10)
}

// parse is the inverse of word.
func (t wordTable[T]) parse(s string) (T, bool) {
	for _, w := range t.words {
		if w.word == s {
			return w.value, true
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || uint64(T(n)) != n {
		return 0, false
	}
	return T(n), true
}

func (t wordTable[T]) marshal(v T) ([]byte, error) { return []byte(t.word(v)), nil }

func (t wordTable[T]) unmarshal(text []byte, v *T) error {
	n, ok := t.parse(string(text))
	if !ok {
		return fmt.Errorf("parse %s %q: unknown word", t.kind, text)
	}
	*v = n
	return nil
}

// Opt is a value that may be absent, for fields in which zero is a real value
// (DSCP 0, suppress length 0, uid 0-0). The zero Opt is absent. Opts are
// comparable with ==, and JSON writes an absent one as null.
type Opt[T comparable] struct {
	value T
	set   bool
}

// Some returns a present value.
func Some[T comparable](v T) Opt[T] { return Opt[T]{value: v, set: true} }

// Get returns the value and whether it is present; the zero T if it is not.
func (o Opt[T]) Get() (T, bool) { return o.value, o.set }

// IsSet reports whether the value is present.
func (o Opt[T]) IsSet() bool { return o.set }

// MarshalJSON writes the value, or null when it is absent.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.set {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Opt[T]) UnmarshalJSON(data []byte) error {
	*o = Opt[T]{}
	if string(data) == "null" {
		return nil
	}
	if err := json.Unmarshal(data, &o.value); err != nil {
		*o = Opt[T]{}
		return err
	}
	o.set = true
	return nil
}

// Raw is a run of bytes that this package does not interpret: netlink
// attributes that a newer kernel sent, each with its header and padding, in
// the byte order of the host that sent them. It is immutable and comparable;
// the zero value is no bytes. JSON writes it in base64.
type Raw string

// MarshalText writes the bytes in standard base64.
func (r Raw) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, []byte(r)), nil
}

// UnmarshalText reads what MarshalText writes.
func (r *Raw) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("parse raw attributes: %w", err)
	}
	*r = Raw(b)
	return nil
}
