package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// recordPath is the file that says what was installed.
const recordPath = "/var/lib/rpdb/enabled"

// record is what was installed. The zero record is nothing.
type record struct {
	Version int     `json:"version"`
	Files   []entry `json:"files"`
	// Folders are those that had to be made.
	Folders []string `json:"folders"`
}

// entry is a file that was installed. While files are replaced there are two of
// one path: as it was, and as it will be.
type entry struct {
	Path string `json:"path"`
	Sum  string `json:"sum"`
}

func (r record) has(e entry) bool { return slices.Contains(r.Files, e) }

// of returns the entries of one path.
func (r record) of(p string) []entry {
	return slices.DeleteFunc(slices.Clone(r.Files), func(e entry) bool { return e.Path != p })
}

func (r record) names(p string) bool { return len(r.of(p)) > 0 }

// with returns the record with what another has besides.
func (r record) with(other record) record {
	all := record{Files: slices.Clone(r.Files), Folders: slices.Clone(r.Folders)}
	for _, e := range other.Files {
		if !all.has(e) {
			all.Files = append(all.Files, e)
		}
	}
	for _, dir := range other.Folders {
		if !slices.Contains(all.Folders, dir) {
			all.Folders = append(all.Folders, dir)
		}
	}
	return all
}

func (r record) empty() bool { return len(r.Files) == 0 && len(r.Folders) == 0 }

func (t *Tree) readRecord() (record, error) {
	f, err := t.look(recordPath)
	if err != nil || !f.there {
		return record{}, err
	}
	var r record
	switch {
	case f.link != "":
		err = errors.New("it is a symbolic link, and not followed")
	default:
		err = json.Unmarshal([]byte(f.text), &r)
	}
	if err == nil && r.Version != 1 {
		err = fmt.Errorf("it is of version %d, and this program knows 1", r.Version)
	}
	if err != nil {
		return record{}, t.error("read", recordPath, err)
	}
	return r, nil
}

// writeRecord makes another record the one on disk; an empty one is none.
func (t *Tree) writeRecord(r record) error {
	if r.empty() {
		return t.remove(recordPath)
	}
	r.Version = 1
	r.Folders = append([]string{}, r.Folders...) // never null
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return t.error("write", recordPath, err)
	}
	return t.write(recordPath, found{there: true, text: string(text) + "\n", mode: 0o600})
}
