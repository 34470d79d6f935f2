package iproute2

import "fmt"

// verbWord is one word that may follow the object of a command, and what it
// tells ip to do. ip tries them in order, and any beginning of a word means it;
// the first word of a verb is its name.
type verbWord[V comparable] struct {
	word string
	verb V
}

// parseVerb reads the word after "ip OBJECT".
func parseVerb[V comparable](words []verbWord[V], object, word string) (verb V, err error) {
	for _, w := range words {
		if abbreviates(word, w.word) {
			return w.verb, nil
		}
	}
	reason := fmt.Sprintf(`Command "%s" is unknown, try "ip %s help".`, word, object)
	return verb, &ParseError{Kind: BadCommand, Word: word, Reason: reason, exit: exitUsage}
}

// allVerbs lists the words.
func allVerbs[V comparable](words []verbWord[V]) (list []string) {
	for _, w := range words {
		list = append(list, w.word)
	}
	return list
}

// verbName returns the first word of a verb, "" for no verb.
func verbName[V comparable](words []verbWord[V], verb V) string {
	for _, w := range words {
		if w.verb == verb {
			return w.word
		}
	}
	return ""
}
