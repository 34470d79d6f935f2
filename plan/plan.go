package plan

import (
	"errors"
	"fmt"
	"slices"

	"rpdb"
)

// The priorities and tables that belong to rpdb, both ends included. Foreign
// rules may stand among them and are not touched.
const (
	FirstPriority rpdb.Priority = 10000
	LastPriority  rpdb.Priority = 19999
	FirstTable    rpdb.TableID  = 82000
	LastTable     rpdb.TableID  = 82999
)

// Step is one change to the kernel: one message.
type Step struct {
	Change rpdb.Change `json:"change"`
	// Name is the part of the policy that the object belongs to, "" if it
	// belongs to none any more.
	Name string `json:"name,omitzero"`
	// Reason says in a clause why the step is needed.
	Reason string `json:"reason"`
	// Inverse takes the step back.
	Inverse rpdb.Change `json:"inverse"`
}

// Plan is the way from what is to what should be. The zero Plan changes
// nothing. It refers to nothing that Diff was given.
type Plan struct {
	// Steps stand in the order in which they must be done.
	Steps []Step `json:"steps"`
	// Kept counts the rules and routes of the policy that are there already.
	Kept int `json:"kept"`
	// Waiting repeats the parts of the policy that cannot be resolved yet.
	Waiting []rpdb.Waiting `json:"waiting,omitempty"`
	// Notes are sentences on what was seen and left alone.
	Notes []string `json:"notes,omitempty"`
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Count returns how many steps add, change and remove an object.
func (p Plan) Count() (add, change, remove int) {
	for _, s := range p.Steps {
		switch s.Change.Op {
		case rpdb.Add:
			add++
		case rpdb.Replace:
			change++
		case rpdb.Delete:
			remove++
		}
	}
	return add, change, remove
}

// ConflictError says that a foreign route stands where a route of the policy
// must be, or one of ours that we do not fully understand. Nothing can be planned until one of them goes.
type ConflictError struct {
	Name    string     // the part of the policy
	Wanted  rpdb.Route // the route of the policy
	Foreign rpdb.Route // the route that is there
}

// Error names the part of the policy, the route and the owner of the other.
func (e *ConflictError) Error() string {
	if e.Foreign.Protocol == rpdb.ProtocolRPDB {
		return fmt.Sprintf("plan %s: %v: a route with attributes that are not known here stands there already", e.Name, e.Wanted)
	}
	return fmt.Sprintf("plan %s: %v: a route of protocol %d stands there already", e.Name, e.Wanted, e.Foreign.Protocol)
}

// Diff returns the steps that lead from the actual state to the desired one.
// It is deterministic and reads its arguments only. The errors are
// [*ConflictError], several of them joined, and a policy with more rules than
// the reserved range has priorities.
func Diff(actual *rpdb.Snapshot, desired rpdb.Desired) (Plan, error) {
	d := differ{actual: actual, desired: desired, plan: Plan{Waiting: slices.Clone(desired.Waiting)}}
	err := errors.Join(d.diffRoutes(), d.diffRules())
	if err != nil {
		return Plan{}, err
	}
	// Never nil, which JSON writes as null.
	d.plan.Steps = slices.Concat([]Step{}, d.newRoutes, d.newRules, d.oldRules, d.oldRoutes)
	return d.plan, nil
}

// differ collects the steps of one Diff, by the phase they belong to.
type differ struct {
	actual  *rpdb.Snapshot
	desired rpdb.Desired
	plan    Plan

	newRoutes, newRules, oldRules, oldRoutes []Step
}

// routeWaits reports whether a route is of a part of the policy that waits, so
// that it must stay.
func (d *differ) routeWaits(r rpdb.Route) bool {
	return slices.ContainsFunc(d.desired.Waiting, func(w rpdb.Waiting) bool {
		return waitsIn(w, r.Family, r.Table) && (!w.Dst.IsValid() || w.Dst.Masked() == r.Dst.Masked())
	})
}

// ruleWaits reports whether a rule is of a part of the policy that waits: one
// that a waiting uplink's recipe makes. Rules of the policy's list never wait.
func (d *differ) ruleWaits(r rpdb.Rule) bool {
	s := r.Selector
	recipe := s == rpdb.Selector{From: s.From} || s == rpdb.Selector{OIF: s.OIF}
	return recipe && r.Action.Type() == rpdb.ActionTable && r.Suppress == rpdb.Suppressor{} &&
		slices.ContainsFunc(d.desired.Waiting, func(w rpdb.Waiting) bool {
			return !w.Dst.IsValid() && waitsIn(w, r.Family, r.Action.Table())
		})
}

func waitsIn(w rpdb.Waiting, f rpdb.Family, t rpdb.TableID) bool {
	return t != 0 && w.Table == t && (w.Family == 0 || w.Family == f)
}

func (d *differ) note(format string, args ...any) {
	d.plan.Notes = append(d.plan.Notes, fmt.Sprintf(format, args...))
}

// IsOwnRule reports whether a rule carries our protocol number and a priority
// of our range, and holds nothing that we do not understand.
func IsOwnRule(r rpdb.Rule) bool {
	return r.Protocol == rpdb.ProtocolRPDB && r.Unknown == "" &&
		FirstPriority <= r.Priority && r.Priority <= LastPriority
}

// OwnTables returns the tables in which routes with our protocol number are
// ours: those of the policy, and those that a rule of ours looks up. Tables of
// the reserved range are ours as well and not listed.
func OwnTables(actual *rpdb.Snapshot, desired rpdb.Desired) map[rpdb.TableID]bool {
	own := map[rpdb.TableID]bool{}
	for _, t := range desired.Tables {
		own[t.ID] = true
	}
	for _, r := range actual.Rules {
		if IsOwnRule(r) && r.Action.Type() == rpdb.ActionTable && !reservedTable(r.Action.Table()) {
			own[r.Action.Table()] = true
		}
	}
	return own
}

// reservedTable reports whether the kernel itself fills the table.
func reservedTable(t rpdb.TableID) bool {
	return t == rpdb.TableUnspec || rpdb.TableDefault <= t && t <= rpdb.TableLocal
}
