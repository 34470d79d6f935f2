package iproute2_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"rpdb"
	"rpdb/format/iproute2"
)

// What ip sent, we send, byte by byte.
func TestRecordedRequests(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the requests were recorded on a little-endian machine")
	}
	data, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := rpdb.Names{Realms: map[uint16]string{0: "cosmos"}}
	families := map[string]rpdb.Family{"-4": rpdb.IPv4, "-6": rpdb.IPv6, "-0": 17, "-M": 28, "-B": 7}
	compared := 0
	for line := range strings.Lines(string(data)) {
		typed, want, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		words := strings.Fields(typed)
		c := iproute2.RuleContext{Names: names, Family: families[words[0]]}
		if c.Family != 0 {
			words = words[1:]
		}
		parse := c.ParseAdd
		if words[0] == "del" {
			parse = c.ParseDelete
		}
		q, err := parse(words[1:])
		if got := hex.EncodeToString(q.Payload()); err != nil || got != want {
			t.Errorf("%s: %v\n sends %s\nwants %s", typed, err, got, want)
		}
		compared++
	}
	if compared < 600 {
		t.Errorf("only %d requests", compared)
	}
}
