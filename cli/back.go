package cli

import (
	"fmt"
	"strings"

	"rpdb"
	"rpdb/apply"
	"rpdb/plan"
)

// wayBack is how a generation comes back, or came back, and its JSON.
type wayBack struct {
	// Written counts the messages that must come first, as they write what does
	// not stand ready; no packet sees anything of them.
	Written int `json:"written"`
	// Messages are those that lead the packets back: one for each family, but for
	// what changes where it stands.
	Messages int `json:"messages"`

	families int
}

// wayOf counts the messages of a plan that leads back.
func wayOf(p plan.Plan) wayBack {
	w := wayBack{}
	families := map[rpdb.Family]bool{}
	for _, s := range p.Steps {
		switch s.Phase {
		case plan.Prepare:
			w.Written++
		case plan.Switch:
			w.Messages++
			switch {
			case s.Change.Rule != nil:
				families[s.Change.Rule.Family] = true
			case s.Change.Route != nil:
				families[s.Change.Route.Family] = true
			}
		}
	}
	w.families = len(families)
	return w
}

// messages says by how many messages packets are led back.
func (w wayBack) messages() string {
	switch {
	case w.Messages == 1:
		return "one message"
	case w.Messages == w.families:
		return "one message for each family"
	}
	return fmt.Sprintf("%d messages", w.Messages)
}

// ready says whether a generation stands ready to come back.
func (w wayBack) ready(old uint64) string {
	switch what := fmt.Sprintf("generation %d", old); {
	case w.Messages == 0:
		return ""
	case w.Written == 0 && old == 0:
		return "Going back takes " + w.messages() + "."
	case w.Written == 0:
		return fmt.Sprintf("G%s stands ready to come back, by %s.", what[1:], w.messages())
	case old == 0:
		return fmt.Sprintf("Going back takes %s, after %d that no packet sees.", w.messages(), w.Written)
	default:
		return fmt.Sprintf("Of %s a part does not stand any more: %d %s it anew, then it comes back by %s.",
			what, w.Written, plural(w.Written, "message writes", "messages write"), w.messages())
	}
}

// goingBack says what going back from a trial of a plan takes.
func goingBack(back []plan.Back) string {
	same := true
	var each []string
	for _, b := range back {
		same = same && b == plan.Back{Family: b.Family, Messages: 1}
		word := fmt.Sprintf("%v %d %s", b.Family, b.Messages, plural(b.Messages, "message", "messages"))
		if b.Messages > 1 {
			word += ", one after the other"
		}
		if b.Rewrites {
			word += ", after what changes where it stands is written anew"
		}
		each = append(each, word)
	}
	switch {
	case len(back) == 0:
		return ""
	case same && len(back) == 1:
		return "Going back from its trial takes one message."
	case same:
		return "Going back from its trial takes one message for each family."
	}
	return "Going back from its trial takes: " + strings.Join(each, "; ") + "."
}

// noteUncleared says what of an earlier generation could not be cleared away,
// which decides nothing.
func (a *app) noteUncleared(session *apply.Session) {
	for _, n := range unclearedNotes(session) {
		a.note("%s", n)
	}
}

// unclearedNotes is what noteUncleared says.
func unclearedNotes(session *apply.Session) []string {
	err := session.Uncleared()
	if err == nil {
		return nil
	}
	return []string{fmt.Sprintf("%v; the next rpdb command that changes something here tries again", err)}
}
