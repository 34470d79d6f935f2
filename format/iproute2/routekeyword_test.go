package iproute2_test

import (
	"strings"
	"testing"

	"rpdb/format/iproute2"
)

func TestRouteVerbs(t *testing.T) {
	for word, want := range map[string]string{
		"a": "add", "ap": "append", "c": "change", "ch": "change", "chg": "change", "r": "replace", "re": "replace", "res": "restore",
		"p": "prepend", "t": "test", "d": "delete", "del": "delete", "l": "list", "ls": "list", "s": "list", "sh": "list",
		"showd": "showdump", "sa": "save", "g": "get", "f": "flush", "h": "help",
	} {
		if v, err := iproute2.ParseRouteVerb(word); err != nil || v.String() != want {
			t.Errorf("%q is %v, %v, want %s", word, v, err, want)
		}
	}
	for _, word := range []string{"", "foo", "adds", "lists", "nexthop"} {
		_, err := iproute2.ParseRouteVerb(word)
		checkComplaint(t, word, err, "Command \""+word+"\" is unknown, try \"ip route help\".\n", 255)
	}
	if got := strings.Join(iproute2.RouteVerbs(), " "); !strings.Contains(got, "showdump") {
		t.Errorf("verbs %s", got)
	}
	if v := iproute2.RouteVerb(0); v.String() != "" {
		t.Errorf("no verb is %v", v)
	}
}

// Every keyword has a meaning, a help, and a place in the usage; those that
// scripts look for are there.
func TestRouteKeywords(t *testing.T) {
	help := iproute2.RouteHelp()
	spelled := map[string]string{
		"dsfield": "tos", "priority": "metric", "preference": "metric", "oif": "dev", "cloned": "cached", "protocol": "proto", "brd": "broadcast",
		"xresolve": "TYPE",
	}
	for verb, least := range map[iproute2.RouteVerb]int{iproute2.RouteAdd: 50, iproute2.RouteDelete: 50, iproute2.RouteGet: 18, iproute2.RouteList: 24, iproute2.RouteFlush: 24, iproute2.RouteSave: 24} {
		words := iproute2.RouteKeywords(verb)
		if len(words) < least {
			t.Errorf("%v has %d keywords", verb, len(words))
		}
		for _, k := range append(words, iproute2.NexthopKeywords()...) {
			word := k.Word
			if s, ok := spelled[word]; ok {
				word = s
			}
			if k.Help == "" || k.Field == "" || !strings.Contains(help, word) {
				t.Errorf("%v %s: field %q, help %q", verb, k.Word, k.Field, k.Help)
			}
		}
	}
	for _, word := range []string{"uid", "sport", "ipproto", "tos", "flowlabel", "encap", "nhid", "fibmatch"} {
		if !strings.Contains(help, word) {
			t.Errorf("the usage does not say %q", word)
		}
	}
	if iproute2.RouteKeywords(iproute2.RouteRestore) != nil {
		t.Error("restore has keywords")
	}
}

// What was typed is told apart from what ip fills in.
func TestRouteTyped(t *testing.T) {
	q, err := context().ParseRequest(iproute2.RouteAdd, strings.Fields("bl 192.0.2.0/24 m 5 proto boot"))
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]bool{"to": true, "type": true, "metric": true, "protocol": true, "table": false, "scope": false} {
		if q.Typed(option) != want {
			t.Errorf("%s typed: %v", option, !want)
		}
	}
}
