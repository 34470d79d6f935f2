package nmkeyfile

import (
	"errors"
	"strconv"
	"strings"

	"rpdb/format"
)

// entry is a key of a section, with its value.
type entry struct {
	file    string
	line    int // from 1
	section string
	key     string
	value   string
}

func (e entry) fail(reason string) *format.Error {
	return &format.Error{File: e.file, Line: e.line, Object: e.section + "." + e.key, Text: e.value, Reason: reason}
}

// entries cuts a keyfile into its keys, in their order.
func entries(f format.File) ([]entry, error) {
	var list []entry
	var errs []error
	section, number := "", 0
	seen := map[string]bool{}
	for text := range strings.Lines(f.Text) {
		number++
		text = strings.TrimSpace(text)
		fail := func(object, reason string) {
			errs = append(errs, &format.Error{File: f.Path, Line: number, Object: object, Text: text, Reason: reason})
		}
		switch {
		case text == "" || text[0] == '#':
			continue
		case text[0] == '[' && text[len(text)-1] == ']':
			section = text[1 : len(text)-1]
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch name := section + "." + key; {
		case !ok || key == "":
			fail("line", "a key, = and a value are expected")
		case section == "":
			fail("key", "it stands in no section")
		case seen[name]:
			fail("key", "it stands there twice")
		default:
			seen[name] = true
			list = append(list, entry{f.Path, number, section, key, value})
		}
	}
	return list, errors.Join(errs...)
}

// numbered takes the number off a key such as "route1".
func numbered(key, name string) (string, bool) {
	digits, ok := strings.CutPrefix(key, name)
	if !ok {
		return "", false
	}
	if digits == "" {
		return "", true
	}
	_, err := strconv.ParseUint(digits, 10, 32)
	return digits, err == nil
}
