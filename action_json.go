package rpdb

import (
	"bytes"
	"encoding/json"
)

// actionJSON is the JSON form of an Action.
type actionJSON struct {
	Type   ActionType `json:"type"`
	Table  TableID    `json:"table,omitzero"`
	Target Priority   `json:"target,omitzero"`
}

// MarshalJSON writes an object with "type", and "table" and "target" where
// they are not zero.
func (a Action) MarshalJSON() ([]byte, error) {
	return json.Marshal(actionJSON{Type: a.typ, Table: a.table, Target: a.target})
}

// UnmarshalJSON reads what MarshalJSON writes. Anything else in the object is an
// error, as whoever refuses fields that are unknown cannot see these.
func (a *Action) UnmarshalJSON(data []byte) error {
	var j actionJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return err
	}
	*a = RawAction(j.Type, j.Table, j.Target)
	return nil
}
