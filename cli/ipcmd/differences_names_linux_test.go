package ipcmd

import (
	"slices"
	"strconv"
	"strings"
)

// nameAfterNumber reports whether a name stands in a batch, then a number of its
// kind, and then the same name again: ip remembers the name that it looked up
// last, and what it found last, and these are not of one look-up then.
func nameAfterNumber(lines [][]string) bool {
	memories := map[string]*nameMemory{}
	for _, words := range lines {
		for i := 1; i < len(words); i++ {
			file, base := fileOf(words[i-1])
			if file == "" {
				continue
			}
			if memories[file] == nil {
				memories[file] = &nameMemory{}
			}
			value, _, _ := strings.Cut(words[i], "/")
			if _, err := strconv.ParseUint(value, 0, 32); err == nil && words[i-1] == "dscp" { // the file is not asked
				continue
			}
			if memories[file].spoils(value, base) {
				return true
			}
			if _, second, ok := strings.Cut(words[i], "/"); ok && file == "rt_realms" && memories[file].spoils(second, base) {
				return true
			}
		}
	}
	return false
}

// fileOf returns the file that has the names for the value of a keyword, and the
// base of numbers there; "" if ip remembers none of it.
func fileOf(keyword string) (file string, base int) {
	abbreviates := func(word string, atLeast int) bool {
		return len(keyword) >= atLeast && strings.HasPrefix(word, keyword)
	}
	switch {
	case keyword == "tos", keyword == "dscp", abbreviates("dsfield", 2):
		return "rt_dsfield", 16
	case abbreviates("protocol", 3):
		return "rt_protos", 10
	case abbreviates("scope", 2):
		return "rt_scopes", 10
	case abbreviates("realms", 3):
		return "rt_realms", 10
	}
	return "", 0
}

// nameMemory is what ip remembers of the names of one file.
type nameMemory struct {
	name    string
	spoiled bool // a number came after the name
}

// spoils takes a word in, and reports whether ip gets it wrong.
func (m *nameMemory) spoils(word string, base int) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(word, "0x"), base, 64)
	switch {
	case err == nil && !slices.Contains([]string{"EF", "AF11"}, word): // which are names first
		m.spoiled = m.name != ""
	case m.spoiled && m.name == word:
		return true
	default:
		*m = nameMemory{name: word}
	}
	return false
}
