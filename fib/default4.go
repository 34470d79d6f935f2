package fib

import (
	"slices"

	"rpdb"
)

// defaultChoice says which default route an IPv4 output lookup ends with that
// found the route at index first, for flows with a TOS. The kernel remembers
// its last choice in a place that cannot be read, so there may be several.
type defaultChoice struct {
	tos    uint8
	first  int
	chosen []int // indices of routes
	either []rpdb.Hop
	note   string
}

// chooseDefault replaces the route found by the one that the kernel prefers
// for the state of its gateway (fib_select_default).
func (t *table) chooseDefault(k *key, res *result) {
	n, tos := res.node, k.ds&legacyTOS
	if !slices.ContainsFunc(n.routes, func(r *route) bool { return r.tos == tos }) {
		tos = 0
	}
	for i := range t.choice {
		c := &t.choice[i]
		if c.tos != tos || n.routes[c.first] != res.route {
			continue
		}
		res.route = n.routes[c.chosen[0]]
		res.hop = &res.route.hops[0]
		if len(c.chosen) > 1 {
			res.either, res.note = c.either, c.note
		}
		return
	}
}

const (
	noteDefaults       = "equal default routes take turns, by the state of their gateways"
	noteDefaultsSource = "equal default routes take turns, and with them their sources"
	noteDefaultsLocal  = "equal default routes of table local take turns or not, depending on when they were added"
)

// prepareDefaults works out all choices of the node of default routes, once.
//
// In table local the kernel may make no choice at all. When it parts the trie
// of local and main, it forgets how many default routes local has, and goes on
// counting from zero; as long as it counts fewer than two, the route found
// stays (6.18, fib_trie_unmerge).
func (t *table) prepareDefaults(n *node) {
	id := t.id
	var classes []uint8
	for i := range n.routes {
		classes = append(classes, n.routes[i].tos)
	}
	classes = append(classes, 0)
	slices.Sort(classes)
	for _, tos := range slices.Compact(classes) {
		for i := range n.routes {
			group := n.defaultGroup(id, tos, i)
			if len(group) < 2 {
				continue
			}
			c := defaultChoice{tos: tos, first: i, note: noteDefaults}
			if id == rpdb.TableLocal {
				c.note = noteDefaultsLocal
				n.mayChoose(&c, i)
			}
			n.outcomes(&c, group)
			t.choice = append(t.choice, c)
		}
	}
}

// defaultGroup lists the routes among which the one at index first is chosen,
// in order. Fewer than two: there is no choice.
func (n *node) defaultGroup(id rpdb.TableID, tos uint8, first int) []int {
	var group []int
	lastMetric, lastTOS := n.routes[first].metric, uint8(0)
	for i := range n.routes {
		r := n.routes[i]
		if r.table != id || r.tos != 0 && r.tos != tos {
			continue
		}
		if r.metric > lastMetric && r.tos == lastTOS {
			if lastTOS != 0 {
				continue
			}
			break
		}
		if r.allDead() {
			continue
		}
		lastTOS, lastMetric = r.tos, r.metric
		if r.scope != n.routes[first].scope || r.typ != rpdb.RouteUnicast || len(r.hops) == 0 || !r.hops[0].via.IsValid() {
			continue
		}
		if len(group) == 0 && i != first {
			return nil
		}
		group = append(group, i)
	}
	return group
}

func (r *route) allDead() bool {
	return !slices.ContainsFunc(r.hops, func(h hop) bool { return !h.dead })
}

// outcomes collects what may be chosen whatever the last choice was.
func (n *node) outcomes(c *defaultChoice, group []int) {
	for last := -1; last < len(group); last++ {
		n.mayChoose(c, group[n.detectDeath(group, last)])
	}
}

// mayChoose notes that the route at index i may be chosen.
func (n *node) mayChoose(c *defaultChoice, i int) {
	if slices.Contains(c.chosen, i) {
		return
	}
	c.chosen = append(c.chosen, i)
	c.either = append(c.either, n.routes[i].hops[0].out())
	if n.routes[i].prefsrc.IsValid() {
		c.note = noteDefaultsSource
	}
}

// detectDeath returns the place in the group of the route that is taken if the
// last choice was at the place last (fib_detect_death).
func (n *node) detectDeath(group []int, last int) int {
	resort := -1
	for place, i := range group {
		state := n.routes[i].hops[0].neighbour
		switch {
		case state == 0 || state == rpdb.NeighbourReachable, state.Valid() && place != last:
			return place
		case state.Valid(), resort < 0 && place > last && state != rpdb.NeighbourIncomplete:
			resort = place
		}
	}
	return max(resort, 0)
}
