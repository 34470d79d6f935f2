package rpdb_test

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
)

func TestNearWords(t *testing.T) {
	known := []string{"main", "isp-a", "isp-b", "office", "office-lab"}
	for word, want := range map[string][]string{
		"mian":                  {"main"},
		"isp_a":                 {"isp-a", "isp-b"}, // what joins words does not count
		"ISPB":                  {"isp-b", "isp-a"},
		"offcie":                {"office"},
		"off":                   {"office", "office-lab"},
		"of":                    {},
		"vpn":                   {},
		"":                      {},
		strings.Repeat("a", 65): {},
	} {
		if got := rpdb.NearWords(word, known); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := rpdb.NearWords("a", make([]string, 501)); got != nil {
		t.Errorf("of a long list: %q", got)
	}
}
