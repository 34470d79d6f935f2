package iproute2

import (
	"strings"

	"rpdb"
)

// abbreviates reports whether word is a beginning of keyword. The empty word
// is none.
func abbreviates(word, keyword string) bool { return word != "" && strings.HasPrefix(keyword, word) }

// keyword is one line of a grammar: the word, whether a beginning of it is
// enough, and the name under which it is understood. Lines are tried in
// order, so the order decides what an abbreviation means.
type keyword struct {
	word   string
	prefix bool
	means  string
}

func lookUp(table []keyword, word string) string {
	if word == "" || word[0] <= '9' { // no keyword begins so: an address, a number
		return ""
	}
	for i := range table {
		k := &table[i]
		if k.word[0] == word[0] && (word == k.word || k.prefix && strings.HasPrefix(k.word, word)) {
			return k.means
		}
	}
	return ""
}

// reader walks over the words of a command. Its error is sticky: after the
// first complaint every read returns zero values.
type reader struct {
	words   []string
	pos     int // of the word that is read next
	names   rpdb.Names
	numbers func(file, name string) (uint32, bool) // of [RuleContext], may be nil
	warning string                                 // what ip prints before it sees a bad word
	err     *ParseError
}

func (r *reader) more() bool { return r.err == nil && r.pos < len(r.words) }

// next takes the next word, and complains if there is none.
func (r *reader) next() string {
	switch {
	case r.err != nil:
		return ""
	case r.pos >= len(r.words):
		r.err = &ParseError{Kind: Incomplete, Position: r.pos, warning: r.warning}
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
// A reason that ends in a newline makes ip print an empty line.
func (r *reader) fail(kind ParseErrorKind, word, reason string) {
	if r.err == nil {
		reason, blank := strings.CutSuffix(reason, "\n")
		r.err = &ParseError{Kind: kind, Word: word, Reason: reason, Position: max(r.pos-1, 0), blank: blank, warning: r.warning}
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

// named looks a name up in one of ip's files: in the caller's reading of them
// if there is one, else in the names, where an entry of builtin counts that
// the file does not have.
func named[T ~uint8 | ~uint16 | ~uint32](r *reader, file, word string, names map[T]string, builtin func(string) (T, bool)) (T, bool) {
	if r.numbers != nil {
		n, ok := r.numbers(file, word)
		return T(n), ok
	}
	best, found := T(0), false
	for v, name := range names {
		if name == word && (!found || v < best) {
			best, found = v, true
		}
	}
	if found || builtin == nil {
		return best, found
	}
	return builtin(word)
}

// table reads the name or number of a table; names come first.
func (r *reader) table(reason string) rpdb.TableID {
	word := r.next()
	if r.err != nil {
		return 0
	}
	builtin := func(s string) (rpdb.TableID, bool) {
		t, ok := r.names.TableByName(s)
		return t, ok && digit(s[0]) > 9
	}
	if t, ok := named(r, "rt_tables", word, r.names.Tables, builtin); ok {
		return t
	}
	if word == "unspec" && r.numbers == nil { // every file has it
		return 0
	}
	return rpdb.TableID(r.numberIn(word, 32, reason))
}

func (r *reader) protocol(reason string) rpdb.Protocol {
	word := r.next()
	if r.err != nil {
		return 0
	}
	builtin := func(s string) (rpdb.Protocol, bool) {
		p, ok := r.names.ProtocolByName(s)
		return p, ok && digit(s[0]) > 9
	}
	if p, ok := named(r, "rt_protos", word, r.names.Protocols, builtin); ok {
		return p
	}
	return rpdb.Protocol(r.numberIn(word, 8, reason))
}

// realms reads "[FROM/]TO", names or numbers of 8 bits, or one number of 32
// bits that holds both. Nothing at all is 0.
func (r *reader) realms(reason string) rpdb.Realms {
	word := r.next()
	if r.err != nil {
		return 0
	}
	first, second, pair := strings.Cut(word, "/")
	if !pair {
		first, second = "0", word
	}
	from, ok := r.realm(first)
	to, okTo := uint16(0), true
	if second != "" {
		to, okTo = r.realm(second)
	}
	if ok && okTo {
		return rpdb.NewRealms(from, to)
	}
	return rpdb.Realms(r.numberIn(word, 32, reason))
}

func (r *reader) realm(word string) (uint16, bool) {
	if v, ok := named(r, "rt_realms", word, r.names.Realms, nil); ok {
		return v, true
	}
	n, err := parseUint(word, 0, 8)
	return uint16(n), err == nil
}

// dsfieldByName looks up the name of a DS field, in the names given and then
// in those that every iproute2 ships.
func (r *reader) dsfieldByName(word string) (uint8, bool) {
	return named(r, "rt_dsfield", word, r.names.DSFields, builtinDSField)
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
	field, ok := r.dsfield(word)
	if !ok {
		r.fail(BadArgument, word, reason)
	}
	return field
}

func (r *reader) dsfield(word string) (uint8, bool) {
	if v, ok := r.dsfieldByName(word); ok {
		return v, true
	}
	n, err := parseUint(word, 16, 8)
	return uint8(n), err == nil
}

// linkName reads the name of an interface, which need not exist.
func (r *reader) linkName(reason string) rpdb.LinkName {
	word := r.next()
	bad := word == "" || len(word) > 15 || word == "." || word == ".." || strings.ContainsAny(word, "/"+space)
	if bad && r.err == nil {
		r.fail(BadArgument, word, reason)
	}
	return rpdb.LinkName(word)
}
