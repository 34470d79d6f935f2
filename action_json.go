package rpdb

import "encoding/json"

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

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Action) UnmarshalJSON(data []byte) error {
	var j actionJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*a = RawAction(j.Type, j.Table, j.Target)
	return nil
}
