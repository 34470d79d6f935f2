package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rpdb"
	"rpdb/fib"
)

// maxWays is how many rules are listed that could lead to the wish.
const maxWays = 20

// obstacles prints what stood in the way.
func (v *whyNotView) obstacles() {
	for _, o := range v.answer.Checks { // of which the headline says why
		if o.Rule != nil {
			v.wrap(fmt.Sprintf("the way back to %v is that of rule %d%s", v.flow.Src, o.Rule.Priority, v.wayBack(o)))
		}
	}
	if state := v.answer.Link; state == "down" {
		v.printf("%s is down\n", safe(v.answer.Wish.Link))
	} else if state != "" {
		v.printf("%s has %s\n", safe(v.answer.Wish.Link), state)
	}
	ways := v.answer.Ways
	if len(ways) == 0 {
		v.noWay()
		return
	}
	ways, more := nearestWays(ways)
	v.printf("rules that could do it, and what is in the way:\n")
	for _, w := range ways {
		v.printf("%8d  %s\n", w.Rule.Priority, v.say.rule(w.Rule))
		for _, o := range w.Obstacles {
			for _, line := range v.obstacle(o) {
				v.fill("            ", strings.Fields(line), v.width)
			}
		}
		if len(w.Obstacles) == 0 {
			v.printf("            nothing in the rules\n")
		}
	}
	if more > 0 {
		v.printf("and %d more rules, with as much or more in the way of each\n", more)
	}
	v.unasked()
}

// nearestWays returns the ways with the fewest obstacles, in the order of the
// list, and how many more there are.
func nearestWays(ways []fib.Way) ([]fib.Way, int) {
	if len(ways) <= maxWays {
		return ways, 0
	}
	type numbered struct {
		fib.Way
		place, weight int
	}
	all := make([]numbered, len(ways))
	for i, w := range ways {
		all[i] = numbered{w, i, 0}
		for _, o := range w.Obstacles {
			all[i].weight += max(1, len(o.Selectors))
		}
	}
	slices.SortStableFunc(all, func(a, b numbered) int { return cmp.Compare(a.weight, b.weight) })
	all = all[:maxWays]
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.place, b.place) })
	nearest := make([]fib.Way, len(all))
	for i := range all {
		nearest[i] = all[i].Way
	}
	return nearest, len(ways) - maxWays
}

// noWay says that no rule could do it, whatever the packet.
func (v *whyNotView) noWay() {
	w := v.answer.Wish
	switch {
	case w.Table != 0:
		which := "which has a route to"
		if len(v.answer.Unasked) == 0 {
			which = "which has no route to"
		}
		v.wrap(fmt.Sprintf("no %v rule looks up table %s, %s %v", v.flow.Family(), v.say.table(w.Table), which, v.flow.Dst))
		return
	case w.Rule.IsSet():
		p, _ := w.Rule.Get()
		v.wrap(fmt.Sprintf("there is no %v rule of priority %d", v.flow.Family(), p))
	default:
		v.wrap(fmt.Sprintf("no table that a rule looks up has a route to %v %s", v.flow.Dst, v.wish()))
	}
	v.unasked()
}

func (v *whyNotView) unasked() {
	var names []string
	for _, t := range v.answer.Unasked {
		names = append(names, v.say.table(t))
	}
	if len(names) == 0 {
		return
	}
	format := "tables %s have such routes, and no rule looks them up"
	if len(names) == 1 {
		format = "table %s has such a route, and no rule looks it up"
	}
	v.wrap(fmt.Sprintf(format, strings.Join(names, ", ")))
}

// obstacle spells one obstacle, each selector in a line of its own.
func (v *whyNotView) obstacle(o fib.Obstacle) []string {
	if o.Kind != fib.ObstacleSelector {
		return []string{v.otherObstacle(o)}
	}
	var lines []string
	for _, s := range o.Selectors {
		lines = append(lines, s.Words(safe[string]))
	}
	return lines
}

func (v *whyNotView) otherObstacle(o fib.Obstacle) string {
	switch o.Kind {
	case fib.ObstacleNot:
		return fib.NotMatched{Field: "not"}.String()
	case fib.ObstacleTaken:
		return fmt.Sprintf("rule %d decides before", o.Rule.Priority)
	case fib.ObstacleJumped:
		return fmt.Sprintf("rule %d jumps over it, to %d", o.Rule.Priority, o.Rule.Action.Target())
	case fib.ObstaclePassive:
		return "a rule like this decides nothing"
	case fib.ObstacleEither:
		return "its route leads there and elsewhere"
	case fib.ObstacleUnknown:
		return "unknown: " + safe(o.Note)
	case fib.ObstacleCheck, fib.ObstacleReverse, fib.ObstacleUnusable:
		return safe(o.Note)
	}
	return v.tableObstacle(o)
}

// tableObstacle spells an obstacle in a table.
func (v *whyNotView) tableObstacle(o fib.Obstacle) string {
	table := v.say.table(o.Table)
	switch o.Kind {
	case fib.ObstacleNoTable:
		return table + " is empty"
	case fib.ObstacleNoRoute:
		return "no route in " + table
	case fib.ObstacleThrow:
		return fmt.Sprintf("throw %s in %s comes first", destination(*o.Route), table)
	case fib.ObstacleSuppressed:
		return fmt.Sprintf("%s in %s is suppressed (%s)", destination(*o.Route), table, o.Note)
	}
	return fmt.Sprintf("%s in %s comes first: %s", destination(*o.Route), table, v.ways(*o.Route))
}

// wayBack names the route that the reverse-path check came to.
func (v *whyNotView) wayBack(o fib.Obstacle) string {
	if o.Route == nil {
		return ""
	}
	return fmt.Sprintf(": %s %s", destination(*o.Route), v.ways(*o.Route))
}

// ways says where a route leads.
func (v *whyNotView) ways(r rpdb.Route) string {
	if r.Type.IsError() || len(r.Nexthops) == 0 {
		return r.Type.String()
	}
	var words []string
	for _, n := range r.Nexthops {
		words = append(words, hopWords(r.Type, rpdb.Hop{Link: v.say.routes.LinkName(n.Link), Via: n.Via}))
	}
	return strings.Join(words, ", ")
}
