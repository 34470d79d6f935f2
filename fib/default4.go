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
func (n *node) chooseDefault(k *key, res *result) {
	tos := k.ds & legacyTOS
	if !slices.ContainsFunc(n.routes, func(r route) bool { return r.tos == tos }) {
		tos = 0
	}
	for i := range n.choice {
		c := &n.choice[i]
		if c.tos != tos || &n.routes[c.first] != res.route {
			continue
		}
		res.route = &n.routes[c.chosen[0]]
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
)

// prepareDefaults works out all choices of a node of default routes, once.
func (n *node) prepareDefaults(main rpdb.TableID) {
	var classes []uint8
	for i := range n.routes {
		classes = append(classes, n.routes[i].tos)
	}
	classes = append(classes, 0)
	slices.Sort(classes)
	for _, tos := range slices.Compact(classes) {
		for i := range n.routes {
			group := n.defaultGroup(main, tos, i)
			if len(group) < 2 {
				continue
			}
			n.choice = append(n.choice, n.outcomes(tos, i, group))
		}
	}
}

// defaultGroup lists the routes among which the one at index first is chosen,
// in order. Fewer than two: there is no choice.
func (n *node) defaultGroup(main rpdb.TableID, tos uint8, first int) []int {
	var group []int
	lastMetric, lastTOS := n.routes[first].metric, uint8(0)
	for i := range n.routes {
		r := &n.routes[i]
		if r.table != main || r.tos != 0 && r.tos != tos {
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
func (n *node) outcomes(tos uint8, first int, group []int) defaultChoice {
	c := defaultChoice{tos: tos, first: first, note: noteDefaults}
	for last := -1; last < len(group); last++ {
		i := group[n.detectDeath(group, last)]
		if !slices.Contains(c.chosen, i) {
			c.chosen = append(c.chosen, i)
			h := &n.routes[i].hops[0]
			c.either = append(c.either, h.out())
			if n.routes[i].prefsrc.IsValid() {
				c.note = noteDefaultsSource
			}
		}
	}
	return c
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
