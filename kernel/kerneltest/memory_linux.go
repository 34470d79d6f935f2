package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"rpdb"
	"rpdb/kernel"
)

// Memory is a kernel in memory: one network namespace with the rules, tables,
// interfaces and addresses of Linux 6.18, as far as routing policy depends on
// them (reference: kernel-semantics). It needs no privilege and no Linux
// underneath. Methods have the meaning and the errors of [kernel.Conn]; it is
// safe for concurrent use. The zero value is not ready: see [NewMemory].
//
// It does not wait: addresses are usable at once, links have carrier as soon
// as both ends are up. It knows veth interfaces only, keeps no counters and no
// clock, and sends no packets.
type Memory struct {
	mu sync.Mutex

	rules  [2][]rpdb.Rule // by family, see index
	custom [2]rpdb.Customised
	nat    []rpdb.Translation // what package nft would hold
	routes [2][]rpdb.Route
	tables map[rpdb.TableID]bool // IPv4 tables that exist

	links      []memoryLink
	lastIndex  rpdb.LinkIndex
	addresses  []rpdb.Address
	neighbours []rpdb.Neighbour
	nexthops   []rpdb.NexthopObject
	sysctls    rpdb.Sysctls
	otherKeys  map[string]string // settings that routing does not depend on

	watchers map[*watcher]bool
}

// NewMemory returns a new network namespace: the default rules, and a loopback
// interface that is down.
func NewMemory() *Memory {
	m := &Memory{
		tables:    map[rpdb.TableID]bool{rpdb.TableMain: true, rpdb.TableLocal: true},
		otherKeys: map[string]string{},
		watchers:  map[*watcher]bool{},
	}
	for _, f := range rpdb.Families() {
		m.rules[index(f)] = rpdb.DefaultRules(f)
		m.custom[index(f)] = rpdb.CustomisedNo
	}
	m.sysctls.Links = map[rpdb.LinkName]rpdb.LinkSysctls{}
	m.newLink(memoryLink{Link: rpdb.Link{Name: "lo", Flags: rpdb.LinkLoopback, MTU: 65536}})
	return m
}

// index is the place of a family in an array of two.
func index(f rpdb.Family) int {
	if f == rpdb.IPv6 {
		return 1
	}
	return 0
}

// refusal is what the kernel answers: an errno and perhaps a text.
type refusal struct {
	errno syscall.Errno
	text  string
}

// Error returns both.
func (r *refusal) Error() string { return r.errno.Error() + ": " + r.text }

// Unwrap returns the errno.
func (r *refusal) Unwrap() error { return r.errno }

func refuse(errno syscall.Errno, text string) error { return &refusal{errno, text} }

// opError makes an error what kernel.Conn would return.
func opError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	var r *refusal
	if errors.As(err, &r) {
		return &kernel.OpError{Op: op, Object: object, Err: r.errno, Message: r.text}
	}
	return &kernel.OpError{Op: op, Object: object, Err: err}
}

// Snapshot returns the whole namespace. The caller owns the result.
func (m *Memory) Snapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &rpdb.Snapshot{
		Addresses: slices.Clone(m.addresses), Neighbours: slices.Clone(m.neighbours), Nexthops: slices.Clone(m.nexthops),
		Sysctls: m.sysctls, Custom4: m.custom[0], Custom6: m.custom[1], Kernel: "6.18.0",
		NAT: rpdb.NAT{Translations: slices.Clone(m.nat)},
	}
	for _, l := range m.links {
		s.Links = append(s.Links, l.Link)
	}
	s.Sysctls.Links = maps.Clone(m.sysctls.Links)
	for _, f := range rpdb.Families() {
		for _, r := range m.rules[index(f)] {
			s.Rules = append(s.Rules, m.withState(r))
		}
		for _, r := range m.routes[index(f)] {
			s.Routes = append(s.Routes, m.routeWithState(r))
		}
	}
	return s, nil
}

// Do makes one change, as [kernel.Conn.Do] does, and package nft for translations.
func (m *Memory) Do(ctx context.Context, c rpdb.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return opError(c.Op.String(), c.Object(), m.do(c))
}

func (m *Memory) do(c rpdb.Change) error {
	switch {
	case c.NAT != nil && c.Rule == nil && c.Route == nil && c.Op == rpdb.Replace:
		return m.putNAT(c.NAT.Translations)
	case (c.Rule == nil) == (c.Route == nil) || c.NAT != nil:
		return refuse(syscall.EINVAL, "a change is about one rule or one route")
	case c.Rule != nil && c.Op == rpdb.Add:
		return m.addExactRule(*c.Rule)
	case c.Rule != nil && c.Op == rpdb.Delete:
		return m.deleteExactRule(*c.Rule)
	case c.Route != nil && c.Op == rpdb.Add:
		return m.putExactRoute(RouteAdd, *c.Route)
	case c.Route != nil && c.Op == rpdb.Replace:
		return m.putExactRoute(RouteReplace, *c.Route)
	case c.Route != nil && c.Op == rpdb.Delete:
		return m.deleteExactRoute(*c.Route)
	}
	return refuse(syscall.EINVAL, "no such operation")
}

// putNAT holds translations as package nft does, so that a transaction of rules
// and translations has one kernel: of one realm of a family only one can be.
func (m *Memory) putNAT(list []rpdb.Translation) error {
	list = rpdb.SortTranslations(list)
	for i, t := range list {
		if err := t.Valid(); err != nil {
			return refuse(syscall.EINVAL, err.Error())
		}
		beside := func(o rpdb.Translation) bool {
			maps := t.Inbound && o.Inbound && t.To.Overlaps(o.To) && (t.To != o.To || t.From != o.From || t.Kind != o.Kind)
			return o.Family == t.Family && (o.Realm == t.Realm || maps)
		}
		if slices.ContainsFunc(list[:i], beside) {
			return refuse(syscall.EINVAL, "two translations for the same packets")
		}
	}
	m.nat = list
	return nil
}

// Execute runs a command as ip(8) and sysctl(8) would.
func (m *Memory) Execute(ctx context.Context, c Command) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return opError("run", fmt.Sprintf("%T", c), m.execute(c))
}

func (m *Memory) execute(c Command) error {
	switch c := c.(type) {
	case RuleCommand:
		if c.Delete {
			return m.deleteRule(ruleRequest{c.Rule, c.Given, false})
		}
		return m.addRule(ruleRequest{c.Rule, c.Given, false})
	case RouteCommand:
		if c.Verb == RouteDelete {
			return m.deleteRoute(c.Route)
		}
		return m.putRoute(c.Verb, c.Route)
	case LinkAdd:
		return m.addVeth(c)
	case LinkSet:
		return m.setLink(c.Name, c.Change)
	case LinkDelete:
		return m.deleteLink(c.Name)
	case AddressAdd:
		return m.addAddress(c)
	case AddressDelete:
		return m.deleteAddress(c)
	case NeighbourSet, NeighbourDelete:
		return m.neighbour(c)
	case NexthopAdd:
		return m.addNexthop(c.Object)
	case NexthopDelete:
		return m.deleteNexthop(c.ID)
	case SysctlSet:
		return m.setSysctl(c.Key, c.Value)
	default:
		panic("kerneltest: unknown command")
	}
}

// watcher is a queue of events that somebody reads.
type watcher struct {
	mu    sync.Mutex
	queue []kernel.Event
	more  chan struct{} // holds one value while the queue may have something
	done  chan struct{}
	once  sync.Once
}

// Watch returns what happens from now on. The queue has no bound, so nothing
// is ever lost and there is no overflow.
func (m *Memory) Watch(ctx context.Context) (*kernel.Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &watcher{more: make(chan struct{}, 1), done: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[w] = true
	return kernel.NewWatcher(w.next, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, w)
		w.once.Do(func() { close(w.done) })
		return nil
	}), nil
}

func (w *watcher) next(ctx context.Context) (kernel.Event, error) {
	for {
		select {
		case <-w.done:
			return kernel.Event{}, os.ErrClosed
		default:
		}
		if ev, ok := w.pop(); ok {
			return ev, nil
		}
		select {
		case <-w.more:
		case <-w.done:
		case <-ctx.Done():
			return kernel.Event{}, ctx.Err()
		}
	}
}

func (w *watcher) pop() (kernel.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return kernel.Event{}, false
	}
	ev := w.queue[0]
	w.queue = w.queue[1:]
	if len(w.queue) > 0 {
		w.signal()
	}
	return ev, true
}

func (w *watcher) signal() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// tell queues an event for every watcher.
func (m *Memory) tell(ev kernel.Event) {
	for w := range m.watchers {
		w.mu.Lock()
		w.queue = append(w.queue, ev)
		w.signal()
		w.mu.Unlock()
	}
}
