package iproute2

import (
	"fmt"
	"strings"

	"rpdb"
)

// ParseErrorKind tells apart the ways in which ip complains about a word,
// which differ in their text and exit code.
type ParseErrorKind uint8

// The kinds of parse errors. The zero kind is a bad value.
const (
	BadArgument   ParseErrorKind = iota // argument "x" is wrong: REASON
	BadPrefix                           // FAMILY prefix is expected rather than "x"
	BadAddress                          // FAMILY address is expected rather than "x"
	Incomplete                          // the value of the last word is missing
	UnknownDevice                       // no interface has the name
	BadCommand                          // the words cannot stand together; Reason is the whole text
)

// ParseError says which word of a command is wrong and why. Reason is ip's
// own text, for BadPrefix and BadAddress the family it expects. Position is
// the index of the word in the words given; for Incomplete it is the index
// behind the last one.
type ParseError struct {
	Kind     ParseErrorKind
	Word     string
	Reason   string
	Position int
}

// Error returns the complaint in ip's words, in one line and without
// punctuation at its end.
func (e *ParseError) Error() string {
	switch e.Kind {
	case BadPrefix:
		return fmt.Sprintf("%s prefix is expected rather than %q", e.Reason, e.Word)
	case BadAddress:
		return fmt.Sprintf("%s address is expected rather than %q", e.Reason, e.Word)
	case Incomplete:
		return "command line is not complete"
	case UnknownDevice:
		return fmt.Sprintf("cannot find device %q", e.Word)
	case BadCommand:
		return e.Reason
	}
	return fmt.Sprintf("argument %q is wrong: %s", e.Word, e.Reason)
}

// abbreviates reports whether word is a beginning of keyword, as ip's
// matches() has it: the empty word begins every keyword.
func abbreviates(word, keyword string) bool { return strings.HasPrefix(keyword, word) }

// keyword is one line of a grammar: the word, whether a beginning of it is
// enough, and the name under which it is understood. Lines are tried in
// order, so the order decides what an abbreviation means.
type keyword struct {
	word   string
	prefix bool
	means  string
}

func lookUp(table []keyword, word string) string {
	for _, k := range table {
		if word == k.word || (k.prefix && abbreviates(word, k.word)) {
			return k.means
		}
	}
	return ""
}

// reader walks over the words of a command. Its error is sticky: after the
// first complaint every read returns zero values.
type reader struct {
	words []string
	pos   int // of the word that is read next
	names rpdb.Names
	err   *ParseError
}

func (r *reader) more() bool { return r.err == nil && r.pos < len(r.words) }

// next takes the next word, and complains if there is none.
func (r *reader) next() string {
	switch {
	case r.err != nil:
		return ""
	case r.pos >= len(r.words):
		r.err = &ParseError{Kind: Incomplete, Position: r.pos}
		return ""
	}
	r.pos++
	return r.words[r.pos-1]
}

// peek returns the next word without taking it, "" at the end.
func (r *reader) peek() string {
	if !r.more() {
		return ""
	}
	return r.words[r.pos]
}

// fail complains about a word, the one taken last; the first complaint stays.
func (r *reader) fail(kind ParseErrorKind, word, reason string) {
	if r.err == nil {
		r.err = &ParseError{Kind: kind, Word: word, Reason: reason, Position: max(r.pos-1, 0)}
	}
}

// failure returns the complaint as an error, nil if there is none.
func (r *reader) failure() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// number reads a number in any base of at most the given bits.
func (r *reader) number(bits int, reason string) uint64 {
	word := r.next()
	return r.numberIn(word, bits, reason)
}

func (r *reader) numberIn(word string, bits int, reason string) uint64 {
	n, err := parseUint(word, 0, bits)
	if err != nil {
		r.fail(BadArgument, word, reason)
	}
	return n
}

// table reads the name or number of a table; names come first.
func (r *reader) table(reason string) rpdb.TableID {
	word := r.next()
	if r.err != nil {
		return 0
	}
	if t, ok := r.names.TableByName(word); ok {
		return t
	}
	return rpdb.TableID(r.numberIn(word, 32, reason))
}

func (r *reader) protocol(reason string) rpdb.Protocol {
	word := r.next()
	if r.err != nil {
		return 0
	}
	if p, ok := r.names.ProtocolByName(word); ok {
		return p
	}
	return rpdb.Protocol(r.numberIn(word, 8, reason))
}

// realms reads "[FROM/]TO", names or numbers of 8 bits, or one number of 32
// bits that holds both.
func (r *reader) realms(reason string) rpdb.Realms {
	word := r.next()
	if r.err != nil {
		return 0
	}
	first, second, pair := strings.Cut(word, "/")
	from, ok := r.realm(first)
	switch {
	case !pair && ok:
		return rpdb.NewRealms(0, from)
	case pair && ok && second == "":
		return rpdb.NewRealms(from, 0)
	case pair && ok:
		if to, ok := r.realm(second); ok {
			return rpdb.NewRealms(from, to)
		}
	}
	return rpdb.Realms(r.numberIn(word, 32, reason))
}

func (r *reader) realm(word string) (uint16, bool) {
	if n, err := parseUint(word, 0, 8); err == nil && r.names.Realm(uint16(n)) != word {
		// A realm may be named like a number; else the number counts.
		if v, ok := r.names.RealmByName(word); ok && r.names.Realm(v) == word {
			return v, true
		}
		return uint16(n), true
	}
	v, ok := r.names.RealmByName(word)
	return v, ok && r.names.Realm(v) == word && v <= 255
}

// dsfieldByName looks up the name of a DS field, in the names given and then
// in those that every iproute2 ships.
func (r *reader) dsfieldByName(word string) (uint8, bool) {
	best, found := uint8(0), false
	for v, name := range r.names.DSFields {
		if name == word && (!found || v < best) {
			best, found = v, true
		}
	}
	if found {
		return best, true
	}
	return builtinDSField(word)
}

// builtinDSField knows the per-hop behaviours by name: CS0 to CS7 (RFC 2474),
// AF11 to AF43 (RFC 2597), EF (RFC 3246), and "default".
func builtinDSField(word string) (uint8, bool) {
	digit := func(i int, first, last byte) (uint8, bool) {
		return word[i] - '0', first <= word[i] && word[i] <= last
	}
	switch {
	case word == "default":
		return 0, true
	case word == "EF":
		return 0xb8, true
	case len(word) == 3 && word[:2] == "CS":
		class, ok := digit(2, '0', '7')
		return class << 5, ok
	case len(word) == 4 && word[:2] == "AF":
		class, ok1 := digit(2, '1', '4')
		drop, ok2 := digit(3, '1', '3')
		return class<<5 | drop<<3, ok1 && ok2
	}
	return 0, false
}

// tos reads a DS field: a name, or a number that is hexadecimal with or
// without 0x.
func (r *reader) tos(reason string) uint8 {
	word := r.next()
	if r.err != nil {
		return 0
	}
	if v, ok := r.dsfieldByName(word); ok {
		return v
	}
	n, err := parseUint(word, 16, 8)
	if err != nil {
		r.fail(BadArgument, word, reason)
	}
	return uint8(n)
}

// linkName reads the name of an interface, which need not exist.
func (r *reader) linkName(key string) rpdb.LinkName {
	word := r.next()
	bad := word == "" || len(word) > 15 || word == "." || word == ".." || strings.ContainsAny(word, "/ \t\n\v\f\r")
	if bad && r.err == nil {
		r.fail(BadArgument, word, fmt.Sprintf("%q not a valid ifname", key))
	}
	return rpdb.LinkName(word)
}
