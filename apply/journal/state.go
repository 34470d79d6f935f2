package journal

import (
	"slices"
	"time"

	"rpdb"
)

// Status says what became of a generation. The zero value is none.
type Status string

// A generation is on trial from before its first message to the kernel until it
// is confirmed. At most one is on trial and at most one is confirmed; the one
// that was confirmed before is superseded.
const (
	Trial      Status = "trial"
	Confirmed  Status = "confirmed"
	RolledBack Status = "rolled back"
	Superseded Status = "superseded"
)

// Phase says how far the trial has come. The zero value is none.
type Phase string

// While a generation is being written, what is in the kernel may be a part of
// it; once it is written and read back, it waits to be confirmed. If it is to go
// instead, it returns: from then on it cannot be confirmed.
const (
	Writing   Phase = "writing"
	Waiting   Phase = "waiting"
	Returning Phase = "returning"
)

// Count says how many rules and routes were added, changed and removed.
type Count struct {
	Add    int `json:"add"`
	Change int `json:"change"`
	Remove int `json:"remove"`
}

// Entry is what the record holds of one generation.
type Entry struct {
	// ID numbers the generations of a namespace, from 1.
	ID     uint64    `json:"id"`
	Time   time.Time `json:"time"` // by the wall clock, for people
	Author string    `json:"author,omitzero"`
	// Message is what the author says about it.
	Message string `json:"message,omitzero"`
	// PolicyHash is the SHA-256 of the policy's text, in hexadecimal; "" where
	// there is no policy, as everything was removed.
	PolicyHash string `json:"policy_hash,omitzero"`
	Status     Status `json:"status"`
	// Why says in a clause what ended the trial, where that was not a confirm.
	Why     string `json:"why,omitzero"`
	Changed Count  `json:"changed"`
	// BodyHash is the checksum of the generation's own file.
	BodyHash string `json:"body_hash"`
}

// Body is the part of a generation that never changes, in a file of its own.
type Body struct {
	// Policy is the text of the document; "" where everything was removed.
	Policy string `json:"policy,omitzero"`
	// File is the name that the document was read under, for its messages.
	File    string       `json:"file,omitzero"`
	Desired rpdb.Desired `json:"desired"`
	// Links names the interfaces that Desired speaks of by their numbers, which
	// are others after a boot.
	Links map[rpdb.LinkIndex]rpdb.LinkName `json:"links,omitempty"`
	// Changes are what was done to the kernel, in order.
	Changes []rpdb.Change `json:"changes,omitempty"`
	// Adopted are rules and routes of others that became the policy's.
	Adopted Adopted `json:"adopted,omitzero"`
	// Owed are those that generations before adopted, and that nobody has given back
	// since.
	Owed []Owed `json:"owed,omitempty"`
}

// Owed is what one generation has adopted.
type Owed struct {
	By uint64 `json:"by"` // the ID of the generation
	Adopted
}

// Adopted are rules and routes as they were before a policy adopted them. The
// zero value is none.
type Adopted struct {
	Rules  []rpdb.Rule  `json:"rules,omitempty"`
	Routes []rpdb.Route `json:"routes,omitempty"`
}

// IsZero reports whether nothing was adopted, and so is not to be written.
func (a Adopted) IsZero() bool { return len(a.Rules)+len(a.Routes) == 0 }

// Pending is the generation on trial.
type Pending struct {
	ID uint64 `json:"id"`
	// Old is the generation to go back to, 0 for none: then nothing of ours is
	// to be there.
	Old   uint64 `json:"old,omitzero"`
	Phase Phase  `json:"phase"`
	// Why says of one that returns what it returns for.
	Why    string `json:"why,omitzero"`
	BootID string `json:"boot_id"`
	// Deadline is the time since boot, suspended time included, at which the
	// trial ends. It is 0 if the generation is confirmed by having been written.
	Deadline time.Duration `json:"deadline,omitzero"`
	// NetNS is the number of the network namespace, which holds within a boot.
	NetNS uint64 `json:"netns,omitzero"`
}

// State is the record. The zero State is that of a namespace to which nothing
// was ever applied. Its methods never modify what it refers to.
type State struct {
	// Next is the id of the next generation, less 1.
	Next uint64 `json:"next"`
	// Generations stand in the order of their ids.
	Generations []Entry  `json:"generations"`
	Pending     *Pending `json:"pending,omitempty"`
	// Remains, if not nil, says that of what was in force before there may be
	// something left, where no packet comes to it.
	Remains *Remains `json:"remains,omitempty"`
}

// Remains is where something may be left: in one network namespace, until the
// machine boots.
type Remains struct {
	BootID string `json:"boot_id"`
	NetNS  uint64 `json:"netns,omitzero"`
}

// maxGenerations is how many generations are kept, the confirmed one and the
// one on trial among them. Those that were rolled back go before others.
const maxGenerations = 100

// Find returns the entry of a generation.
func (s State) Find(id uint64) (Entry, bool) {
	i := slices.IndexFunc(s.Generations, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Entry{}, false
	}
	return s.Generations[i], true
}

// Confirmed returns the generation that is confirmed.
func (s State) Confirmed() (Entry, bool) {
	i := slices.IndexFunc(s.Generations, func(e Entry) bool { return e.Status == Confirmed })
	if i < 0 {
		return Entry{}, false
	}
	return s.Generations[i], true
}

// Back returns the generation that was in force n changes before the confirmed
// one, which is Back(0). Those that were rolled back never count.
func (s State) Back(n int) (Entry, bool) {
	var inForce []Entry
	for _, e := range s.Generations {
		if e.Status == Confirmed || e.Status == Superseded {
			inForce = append(inForce, e)
		}
	}
	if n < 0 || n >= len(inForce) {
		return Entry{}, false
	}
	return inForce[len(inForce)-1-n], true
}

// Begin returns the record with one more generation, which is on trial. Its id
// is Next+1, and p.Old becomes the confirmed generation.
func (s State) Begin(e Entry, p Pending) State {
	s.Next++
	e.ID, e.Status = s.Next, Trial
	p.ID, p.Phase = e.ID, Writing
	if c, ok := s.Confirmed(); ok {
		p.Old = c.ID
	}
	s.Generations = append(slices.Clone(s.Generations), e)
	for len(s.Generations) > maxGenerations {
		i := s.oldest(RolledBack)
		if i < 0 {
			i = s.oldest(Superseded)
		}
		s.Generations = slices.Delete(s.Generations, i, i+1)
	}
	s.Pending = &p
	return s
}

// oldest returns where the first generation of a status stands, -1 for none.
func (s State) oldest(status Status) int {
	return slices.IndexFunc(s.Generations, func(e Entry) bool { return e.Status == status })
}

// Written returns the record with the generation on trial written to the kernel
// and read back.
func (s State) Written() State { return s.phase(Waiting, "") }

// Returns returns the record with the generation on trial being taken back, and
// why.
func (s State) Returns(why string) State { return s.phase(Returning, why) }

func (s State) phase(to Phase, why string) State {
	p := *s.Pending
	p.Phase, p.Why = to, why
	s.Pending = &p
	return s
}

// Confirm returns the record with the generation on trial confirmed.
func (s State) Confirm() State {
	s = s.end(Confirmed, "")
	for i, e := range s.Generations {
		if e.Status == Confirmed && e.ID != s.Generations[len(s.Generations)-1].ID {
			s.Generations[i].Status = Superseded
		}
	}
	return s
}

// RollBack returns the record with the trial over, and why.
func (s State) RollBack(why string) State { return s.end(RolledBack, why) }

// Leaving returns the record with something left over, or, given nil, with that
// cleared away.
func (s State) Leaving(r *Remains) State {
	s.Remains = r
	return s
}

func (s State) end(status Status, why string) State {
	s.Generations = slices.Clone(s.Generations)
	for i, e := range s.Generations {
		if e.ID == s.Pending.ID {
			s.Generations[i].Status, s.Generations[i].Why = status, why
		}
	}
	s.Pending = nil
	return s
}
