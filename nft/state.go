package nft

import "rpdb"

// State is what stands in nf_tables under our name.
type State struct {
	// Translations is what our tables mean, in the order of [Canonical].
	Translations []rpdb.Translation
	// Foreign names a table that is called rpdb and is not ours, as in "table
	// inet rpdb"; "" if there is none.
	Foreign string
	// Unknown says of each thing in our tables that is not what translations
	// make what it is, or what is missing. If it has any, [Conn.Replace] writes
	// the tables anew.
	Unknown []string
}
