package rpdb

import (
	"cmp"
	"slices"
	"strings"
)

// NearWords returns the words of known that word is probably a slip for, the
// closest first and among those in the order of known; words that it only
// begins come last. Case and what joins words do not count. Very long words and
// lists are near to nothing: the time is the product of the lengths.
func NearWords(word string, known []string) []string {
	if len(word) > 64 || len(known) > 500 {
		return nil
	}
	limit := 3
	if len(word) <= 4 {
		limit = 2
	}
	type candidate struct {
		word string
		far  int
	}
	var near []candidate
	for _, k := range known {
		a, b := plainWord(word), plainWord(k)
		if d := distance(a, b); d < limit {
			near = append(near, candidate{k, d})
		} else if strings.HasPrefix(b, a) && len(a) >= 3 {
			near = append(near, candidate{k, limit})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	words := make([]string, len(near))
	for i, c := range near {
		words[i] = c.word
	}
	return words
}

// plainWord ignores case and what joins words.
func plainWord(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance is the number of characters to insert, delete, change or swap with
// their neighbour (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
