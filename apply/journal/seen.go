package journal

import "time"

// seenFile holds a [Seen].
const seenFile = "seen"

// kindSeen is the first word of the file.
const kindSeen = "rpdb-seen"

// Seen says when somebody last compared the host with a generation and found it to
// be as that wants it. It is for people, and may be missing or old: nothing is
// decided by it.
type Seen struct {
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"` // by the wall clock
}

// seenEvery is how often it is written down while nothing else changes: a hook
// may compare the host with each change of a link.
const seenEvery = time.Minute

// Saw writes down that the host was seen to be in order. It must be called under
// [Journal.Lock]. What was written less than a minute before stands.
func (j *Journal) Saw(now Seen) error {
	if had, ok := j.Seen(); ok && had.ID == now.ID {
		if age := now.Time.Sub(had.Time); age >= 0 && age < seenEvery {
			return nil
		}
	}
	data, _, err := encode(kindSeen, now)
	if err == nil {
		err = j.disk.fill(seenFile+tempSuffix, data)
	}
	if err == nil {
		err = j.disk.do("rename", seenFile, func() error { return j.disk.root.Rename(seenFile+tempSuffix, seenFile) })
	}
	if err != nil {
		_ = j.disk.remove(seenFile + tempSuffix)
		return j.writeError(seenFile, err)
	}
	return nil
}

// Seen returns what was written down last. It is false if that is nothing, or
// cannot be read: it is not synced, so a power cut may damage it.
func (j *Journal) Seen() (s Seen, ok bool) {
	if j.disk == nil {
		return s, false
	}
	data, err := j.disk.read(seenFile)
	if err == nil {
		_, err = decode(data, kindSeen, &s)
	}
	return s, err == nil
}
