package ipsave_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"rpdb/format/ipsave"
)

// stream builds a stream of messages with the given payloads.
func stream(t testing.TB, k ipsave.Kind, payloads ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := ipsave.NewWriter(&b, k)
	for i, p := range payloads {
		if err := w.Write(ipsave.Message{Type: 32, Flags: 2, Seq: uint32(i), PID: 7, Payload: []byte(p)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read returns copies of all messages, and the error.
func read(r io.Reader, k ipsave.Kind) (list []ipsave.Message, err error) {
	s := ipsave.NewReader(r, k)
	for s.Next() {
		m := s.Message()
		m.Payload = bytes.Clone(m.Payload)
		list = append(list, m)
	}
	return list, s.Err()
}

func TestMagic(t *testing.T) {
	for k, want := range map[ipsave.Kind]string{ipsave.Rules: "\x86\x69\x70\x71", ipsave.Routes: "\x24\x12\x31\x45"} {
		got := stream(t, k)
		if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && string(got) != want { // as observed on a little-endian machine
			t.Errorf("%x: %x", uint32(k), got)
		}
		if list, err := read(bytes.NewReader(got), k); err != nil || len(list) != 0 {
			t.Errorf("the magic number alone: %d messages, %v", len(list), err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	payloads := []string{"", "a", "abc", "abcd", "abcde", strings.Repeat("x", ipsave.MaxMessage-16)}
	data := stream(t, ipsave.Rules, payloads...)
	if len(data)%4 != 0 {
		t.Errorf("%d bytes are not aligned", len(data))
	}
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data)), "data with EOF": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		list, err := read(r, ipsave.Rules)
		if err != nil || len(list) != len(payloads) {
			t.Fatalf("%s: %d messages, %v", name, len(list), err)
		}
		offset := int64(4)
		for i, m := range list {
			if m.Type != 32 || m.Flags != 2 || m.Seq != uint32(i) || m.PID != 7 || string(m.Payload) != payloads[i] || m.Offset != offset {
				t.Errorf("%s: message %d at %d is %+v", name, i, offset, m)
			}
			offset += int64(16+len(payloads[i])+3) &^ 3
		}
	}
	w := ipsave.NewWriter(io.Discard, ipsave.Rules)
	if err := w.Write(ipsave.Message{Payload: make([]byte, ipsave.MaxMessage-15)}); err == nil {
		t.Error("a message that no reader takes was written")
	}
}

// word is a number as it stands in a stream.
func word(n uint32) string { return string(binary.NativeEndian.AppendUint32(nil, n)) }

func TestHostileStreams(t *testing.T) {
	rules := word(uint32(ipsave.Rules))
	good := string(stream(t, ipsave.Rules, "abcd", "efgh"))
	for name, tt := range map[string]struct {
		data     string
		messages int
		offset   int64
		text     string
		stderr   string
	}{
		"empty":        {"", 0, 0, "0 bytes", "Magic mismatch (0 elems, 0 magic)\n"},
		"three bytes":  {rules[:3], 0, 3, "3 bytes", fmt.Sprintf("Magic mismatch (0 elems, %x magic)\n", binary.NativeEndian.Uint32([]byte(rules[:3]+"\x00")))},
		"text":         {"abcdefgh", 0, 0, "magic number", "Magic mismatch (1 elems, "},
		"routes":       {string(stream(t, ipsave.Routes, "a")), 0, 0, "holds routes, not rules", "Magic mismatch (1 elems, 45311224 magic)\n"},
		"other order":  {"\x71\x70\x69\x86", 0, 0, "the other byte order", "Magic mismatch (1 elems, "},
		"half a head":  {good + "1234567", 2, int64(len(good)) + 7, "ends inside", "rtnl-from_file: truncated message\n"},
		"cut":          {good[:len(good)-1], 1, int64(len(good)) - 1, "ends inside", "rtnl-from_file: truncated message\n"},
		"no padding":   {rules + word(17) + strings.Repeat("\x00", 13), 0, 21, "ends inside", "rtnl-from_file: truncated message\n"},
		"length 0":     {good + word(0) + good, 2, int64(len(good)), "message of 0 bytes", "!!!malformed message: len=0 @160\n"},
		"length 15":    {rules + word(15) + good, 0, 4, "message of 15 bytes", "!!!malformed message: len=15 @120\n"},
		"too long":     {rules + word(16385) + good, 0, 4, "message of 16385 bytes", "!!!malformed message: len=16385 @120\n"},
		"1 GiB":        {rules + word(1<<30) + good, 0, 4, "message of 1073741824 bytes", "!!!malformed message: len=1073741824 @120\n"},
		"negative":     {rules + word(1<<32-1) + good, 0, 4, "message of 4294967295 bytes", "!!!malformed message: len=-1 @120\n"},
		"longest, cut": {rules + word(16384) + strings.Repeat("\x00", 100), 0, 108, "ends inside", "rtnl-from_file: truncated message\n"},
	} {
		if name == "other order" && binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			continue
		}
		list, err := read(strings.NewReader(tt.data), ipsave.Rules)
		var bad *ipsave.Error
		if !errors.As(err, &bad) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if len(list) != tt.messages || bad.Offset != tt.offset || !strings.Contains(bad.Text, tt.text) || !strings.HasPrefix(bad.StderrAt(100), tt.stderr) {
			t.Errorf("%s: %d messages, %v, %q", name, len(list), err, bad.StderrAt(100))
		}
		if pipe, malformed := bad.StderrAt(-1), strings.HasPrefix(tt.stderr, "!!!"); strings.HasSuffix(pipe, " @18446744073709551615\n") != malformed {
			t.Errorf("%s: of a pipe %q", name, pipe)
		}
		if short := bad.Text == "the stream ends inside a message"; short != errors.Is(err, io.ErrUnexpectedEOF) && tt.offset > 3 {
			t.Errorf("%s: unwraps to %v", name, errors.Unwrap(err))
		}
	}
	broken := errors.New("broken")
	for _, r := range []io.Reader{iotest.ErrReader(broken), io.MultiReader(strings.NewReader(good[:30]), iotest.ErrReader(broken))} {
		if _, err := read(r, ipsave.Rules); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
}

// A claim costs nothing: memory follows the bytes that are there.
func TestAllocation(t *testing.T) {
	claim := word(uint32(ipsave.Rules)) + word(16384) + strings.Repeat("\x00", 20)
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		_, _ = read(strings.NewReader(claim), ipsave.Rules)
	}
	runtime.ReadMemStats(&after)
	got := (after.TotalAlloc - before.TotalAlloc) / runs
	if got > 4096 {
		t.Errorf("%d bytes for a stream of %d", got, len(claim))
	}
	data := stream(t, ipsave.Rules, slicesOf("abcdefgh", 1000)...)
	r := bytes.NewReader(data)
	allocs := testing.AllocsPerRun(10, func() {
		r.Reset(data)
		for s := ipsave.NewReader(r, ipsave.Rules); s.Next(); {
		}
	})
	if allocs > 2100 { // a header and nothing else per message
		t.Errorf("%v allocations for 1000 messages", allocs)
	}
}

func slicesOf(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

// A stream is read as it stands or refused at a place in it, and what was read
// is written back byte for byte but for the padding.
func FuzzSaveStream(f *testing.F) {
	f.Add(stream(f, ipsave.Rules, "abcd", "", "efghi"))
	f.Add([]byte(word(uint32(ipsave.Rules)) + word(1<<30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := read(bytes.NewReader(data), ipsave.Rules)
		var bad *ipsave.Error
		switch {
		case errors.As(err, &bad):
			if bad.Offset < 0 || bad.Offset > int64(len(data)) || bad.Stderr() == "\n" {
				t.Fatalf("%v in %d bytes", err, len(data))
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := ipsave.NewWriter(&b, ipsave.Rules)
		for _, m := range list {
			if err := w.Write(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := read(&b, ipsave.Rules)
		if err != nil || len(again) != len(list) {
			t.Fatalf("%d messages of %d, %v", len(again), len(list), err)
		}
		for i := range list {
			if again[i].Offset != list[i].Offset || !bytes.Equal(again[i].Payload, list[i].Payload) || again[i].Type != list[i].Type {
				t.Fatalf("message %d: %+v, want %+v", i, again[i], list[i])
			}
		}
	})
}

// However long a stream is, a reader needs the memory of one message.
func TestReadingAllocatesNothingPerMessage(t *testing.T) {
	data := stream(t, ipsave.Rules, make([]string, 1000)...)
	got := testing.AllocsPerRun(10, func() {
		r := ipsave.NewReader(bytes.NewReader(data), ipsave.Rules)
		n := 0
		for r.Next() {
			n++
		}
		if r.Err() != nil || n != 1000 {
			t.Fatal(n, r.Err())
		}
	})
	if got > 5 {
		t.Errorf("%v allocations", got)
	}
}
