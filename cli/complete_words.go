package cli

import (
	"slices"
	"strings"

	"rpdb"
	"rpdb/format/iproute2"
)

// wordLine is how far the words behind a verb have come.
type wordLine struct {
	there      bool // about what is there, not about what is to be
	translates bool // nat is that of "rpdb rule"
	family     rpdb.Family
	keywords   []iproute2.Keyword
	bare       string                        // the field of a word that is no keyword, "" if there is none
	group      func(iproute2.Keyword) string // what a keyword is one of several for, "" for none
	given      map[string]bool               // fields and groups that have been named
	wants      *iproute2.Keyword             // whose value is next, nil if a keyword is
}

// read takes one complete word.
func (l *wordLine) read(word string) {
	if l.wants != nil {
		l.value(word)
		return
	}
	for _, k := range l.keywords {
		if k.Word != word && !(k.Prefix && strings.HasPrefix(k.Word, word)) {
			continue
		}
		l.given[k.Field] = true
		if group := l.group(k); group != "" && k.Value == iproute2.NoValue {
			l.given[group] = true
		}
		if k.Value != iproute2.NoValue {
			l.wants = &k
		}
		return
	}
	if l.bare != "" {
		l.given[l.bare] = true
		l.learn(word)
	}
}

func (l *wordLine) value(word string) {
	if l.wants.Value == iproute2.PrefixValue {
		l.learn(word)
	}
	if group := l.group(*l.wants); group != "" {
		l.given[group] = true
	}
	l.wants = nil
}

// learn takes the family from a prefix, where no option gave it.
func (l *wordLine) learn(prefix string) {
	if l.family != 0 {
		return
	}
	if strings.Contains(prefix, ":") {
		l.family = rpdb.IPv6
	} else if strings.Contains(prefix, ".") {
		l.family = rpdb.IPv4
	}
}

// fieldWords are the words that are offered for a field, the first one that
// goes on from what is typed.
type fieldWords struct{ field, words string }

// addKeywords offers those of the words that the line takes next.
func (v *hostOffers) addKeywords(l *wordLine, fields []fieldWords, takes func(*wordLine, iproute2.Keyword) bool) {
	for _, field := range fields {
		for word := range strings.FieldsSeq(field.words) {
			i := slices.IndexFunc(l.keywords, func(k iproute2.Keyword) bool { return k.Word == word })
			if i < 0 || !takes(l, l.keywords[i]) || !strings.HasPrefix(word, v.begun) {
				continue
			}
			help := l.keywords[i].Help
			if word == "nat" {
				help = "translate the source of forwarded packets"
			}
			v.add(word, help)
			break
		}
	}
}
