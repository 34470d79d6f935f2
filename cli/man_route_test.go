package cli

import (
	"slices"
	"strings"
	"testing"

	"rpdb"
	"rpdb/cli/ipcmd"
	"rpdb/format/iproute2"
)

// routeBlock makes a block of rpdb-route.8 from the grammar.
func routeBlock(kind, rest string) (block string, ok bool) {
	change, get := routeGrammar(iproute2.RouteAdd), routeGrammar(iproute2.RouteGet)
	switch kind {
	case "route-synopsis":
		return synopsisOf(routeUsage, iproute2.RouteHelp(), "SELECTOR :="), true
	case "route-keyword":
		return keywordHead(".TP", rest, change), true
	case "hop-keyword":
		return keywordHead(".TP", rest, manGrammar{iproute2.NexthopKeywords(), routeWords()}), true
	case "get-keyword":
		return keywordHead(".TP", rest, get), true
	case "get-keyword-too":
		return keywordHead(".TQ", rest, get), true
	case "route-filters":
		return filterWords(manGrammar{routeFilterWords(), routeWords()}), true
	case "route-abbreviations":
		return abbreviationTable(
			abbreviated{"add and so on", change.keywords},
			abbreviated{"get", get.keywords},
			abbreviated{"list, flush, save", routeFilterWords()},
		), true
	}
	return "", false
}

func routeGrammar(v iproute2.RouteVerb) manGrammar {
	return manGrammar{iproute2.RouteKeywords(v), routeWords()}
}

// routeFilterWords are the words of list without those that only stand before a
// prefix.
func routeFilterWords() []iproute2.Keyword {
	return slices.DeleteFunc(iproute2.RouteKeywords(iproute2.RouteList), func(k iproute2.Keyword) bool {
		return k.Field == "root" || k.Field == "match" || k.Field == "exact"
	})
}

// TestRouteManPageIsComplete looks for every word of the grammar, every verb and
// every option.
func TestRouteManPageIsComplete(t *testing.T) {
	page := manPage(t, "rpdb-route.8")
	commands, keywords, options := manWords(page, "COMMANDS"), manWords(page, "KEYWORDS"), manWords(page, "OPTIONS")
	verbs := iproute2.RouteVerbs()
	for _, verb := range ownRouteVerbs() {
		verbs = append(verbs, verb.word)
	}
	for _, verb := range verbs {
		if !slices.Contains(commands, verb) {
			t.Errorf("no command %q", verb)
		}
	}
	words := iproute2.NexthopKeywords()
	for _, verb := range []iproute2.RouteVerb{iproute2.RouteAdd, iproute2.RouteDelete, iproute2.RouteGet, iproute2.RouteList, iproute2.RouteFlush, iproute2.RouteSave} {
		words = append(words, iproute2.RouteKeywords(verb)...)
	}
	for _, k := range words {
		if !slices.Contains(keywords, k.Word) {
			t.Errorf("no keyword %q", k.Word)
		}
	}
	for _, option := range routeOptions() {
		if !slices.Contains(options, option[0]) {
			t.Errorf("no option %q", option[0])
		}
	}
}

// understandsRoute reports what "rpdb route" or "rpdb ip route" does not
// understand, on a host that has every interface.
func understandsRoute(opts ipcmd.Options, words []string) error {
	if len(words) == 0 {
		return nil
	}
	c := iproute2.RouteContext{
		Family:    rpdb.Family(opts.Family),
		LinkIndex: func(rpdb.LinkName) (rpdb.LinkIndex, bool) { return 2, true },
	}
	verb, err := iproute2.ParseRouteVerb(words[0])
	if words[0] == "ensure" {
		verb, err = iproute2.RouteAdd, nil
	}
	if err != nil {
		return err
	}
	switch verb {
	case iproute2.RouteList, iproute2.RouteFlush, iproute2.RouteSave:
		_, err = c.ParseRouteFilter(verb, words[1:])
	case iproute2.RouteGet:
		_, err = c.ParseGet(words[1:])
	case iproute2.RouteRestore, iproute2.RouteShowDump, iproute2.RouteHelpVerb:
	default:
		var q iproute2.RouteRequest
		if q, err = c.ParseRequest(verb, words[1:]); err == nil {
			_, err = q.Strict()
		}
	}
	return err
}

// TestRouteUsageFits keeps the help readable on narrow terminals.
func TestRouteUsageFits(t *testing.T) {
	for line := range strings.Lines(routeUsage) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}
