package netlink

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// datagram lays messages out: "a" is an object of the dump, "I" one that says that it
// was interrupted, "x" a message of another request, "n" a noop, "." the end, "!" the
// end with an error, "?" half a header.
func datagram(kinds string) []byte {
	var b []byte
	for i, kind := range kinds {
		if kind == '?' {
			b = append(b, 1, 2, 3, 4)
			continue
		}
		typ, flags, seq, status := uint16(24), Multi, uint32(7), int32(i)
		switch kind {
		case 'I':
			flags |= DumpInterrupted
		case 'x':
			seq = 0
		case 'n':
			typ = typeNoop
		case '.':
			typ, status = typeDone, 0
		case '!':
			typ, status = typeDone, -2
		}
		b = binary.NativeEndian.AppendUint32(b, headerLen+4)
		b = binary.NativeEndian.AppendUint16(b, typ)
		b = binary.NativeEndian.AppendUint16(b, uint16(flags))
		b = binary.NativeEndian.AppendUint32(b, seq)
		b = binary.NativeEndian.AppendUint32(b, 9)
		b = binary.NativeEndian.AppendUint32(b, uint32(status))
	}
	return b
}

// Objects are given in parts, of which none holds anything else, in their order with
// what is not of the dump, and nothing behind the end counts.
func TestDumpParts(t *testing.T) {
	for _, c := range []struct{ datagrams, want string }{
		{"aaa aa .", "[aaa] [aa] end"},
		{"aaa.", "[aaa] end"},
		{".", "end"},
		{"axa naa.", "[a] other [a] other [aa] end"},
		{"aa.aax aa", "[aa] end"},
		{"xx aIa .", "other other [aaa] interrupted end"},
		{"aa a!a", "[aa] [a] no such file or directory"},
		{"aa? aa", "[aa] decode message: 4 bytes left, header needs 16"},
		{"xa", "other [a]"},
	} {
		var got []string
		d := dumping{port: 9, seq: 7, other: func() { got = append(got, "other") }, each: func(part []byte) error {
			ms := ParseMessages(part)
			n := 0
			for ms.Next() {
				n++
			}
			got = append(got, "["+strings.Repeat("a", n)+"]")
			return ms.Err()
		}}
		for kinds := range strings.FieldsSeq(c.datagrams) {
			done, err := d.add(ParseMessages(datagram(kinds)))
			if d.interrupted && done {
				got = append(got, "interrupted")
			}
			if err != nil {
				got = append(got, err.Error())
			} else if done {
				got = append(got, "end")
			}
			if done || err != nil {
				break
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: got %s, want %s", c.datagrams, text, c.want)
		}
	}
}

// An error of who takes the objects ends the dump.
func TestDumpPartsEndWithTheirUse(t *testing.T) {
	for kinds, want := range map[string]int{"aa.": 1, "axa.": 1, "xa": 1} {
		given := 0
		d := dumping{port: 9, seq: 7, other: func() {}, each: func([]byte) error { given++; return errEnough }}
		if done, err := d.add(ParseMessages(datagram(kinds))); done || err != errEnough || given != want {
			t.Errorf("%s: %v, %v after %d parts", kinds, done, err, given)
		}
	}
	var parts []int
	err := oneByOne(func(m Message) error {
		parts = append(parts, int(binary.NativeEndian.Uint32(m.Data)))
		if len(parts) == 2 {
			return errEnough
		}
		return nil
	})(datagram("aaa"))
	if err != errEnough || !slices.Equal(parts, []int{0, 1}) {
		t.Errorf("%v, %v", fmt.Sprint(parts), err)
	}
}
