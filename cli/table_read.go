package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/format/rttables"
	"rpdb/kernel"
)

// unknownTableError is a word that is no table.
type unknownTableError struct{ word, hint string }

func (e *unknownTableError) Error() string {
	return fmt.Sprintf("table %q: no table has this name", e.word)
}

// Hint lists names that are near.
func (e *unknownTableError) Hint() string { return e.hint }

// tableOf returns the table that a word means: a name that listings show, a
// number in any notation of ip's, or a name that a later line displaced.
func (a *app) tableOf(word string) (rpdb.TableID, error) {
	n := a.loadNames()
	entries, _ := a.files().Tables()
	t, ok := n.TableByName(word)
	if !ok {
		i := slices.IndexFunc(entries, func(e rttables.Entry) bool { return e.Name == word })
		if i < 0 {
			for _, t := range []rpdb.TableID{rpdb.TableDefault, rpdb.TableMain, rpdb.TableLocal} {
				entries = append(entries, rttables.Entry{Name: rpdb.Names{}.Table(t)})
			}
			return 0, &unknownTableError{word, nearHint(word, entryNames(entries))}
		}
		t = rpdb.TableID(entries[i].ID)
	}
	if t == rpdb.TableUnspec {
		return 0, &usageError{text: "table 0 stands for no table"}
	}
	return t, nil
}

// tableReader is what the commands about tables and nexthops read: the host or
// a snapshot. Of the routes it holds none.
type tableReader struct {
	rules    []rpdb.Rule
	links    []rpdb.Link
	nexthops []rpdb.NexthopObject
	// routes gives the routes of a table, 0 for all, to each; they are valid
	// during the call only. Consistent is false if some may be missing or doubled.
	routes func(ctx context.Context, f rpdb.Family, t rpdb.TableID, each func(rpdb.Route) error) (consistent bool, err error)
	// lacks reports whether it is not known what a table holds; nil: it always is.
	lacks func(f rpdb.Family, t rpdb.TableID) bool
	close func()
}

// knows reports whether it is known what a table holds.
func (r *tableReader) knows(f rpdb.Family, t rpdb.TableID) bool {
	return r.lacks == nil || !r.lacks(f, t)
}

// linkName returns the function that names interfaces, "" for those that are
// not known.
func (r *tableReader) linkName() func(rpdb.LinkIndex) rpdb.LinkName {
	known := map[rpdb.LinkIndex]rpdb.LinkName{}
	for _, l := range r.links {
		known[l.Index] = l.Name
	}
	return func(i rpdb.LinkIndex) rpdb.LinkName { return known[i] }
}

// openTables reads everything but the routes. The caller closes it.
func (a *app) openTables(ctx context.Context) (*tableReader, error) {
	if !a.fromFile() {
		return a.readTables(ctx)
	}
	s, _, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	return snapshotTables(s), nil
}

// withTables returns what runs a command without words that reads tables.
func (a *app) withTables(use func(context.Context, *tableReader) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		r, err := a.openTables(cmd.Context())
		if err != nil {
			return err
		}
		defer r.close()
		return use(cmd.Context(), r)
	}
}

// snapshotTables reads a snapshot.
func snapshotTables(s *rpdb.Snapshot) *tableReader {
	return &tableReader{
		rules: s.Rules, links: s.Links, nexthops: s.Nexthops, close: func() {}, lacks: s.Lacks,
		routes: func(_ context.Context, f rpdb.Family, t rpdb.TableID, each func(rpdb.Route) error) (bool, error) {
			for _, r := range s.Routes {
				if r.Family != f || t != 0 && r.Table != t {
					continue
				}
				if err := each(r); err != nil {
					return false, err
				}
			}
			return true, nil
		},
	}
}

// readTables reads the host. The reader has the connection, to read routes by.
func (a *app) readTables(ctx context.Context) (*tableReader, error) {
	conn, err := a.open()
	if err != nil {
		return nil, err
	}
	r := &tableReader{routes: conn.EachRoute, close: func() { conn.Close() }}
	if err := r.read(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// read reads everything but the routes.
func (r *tableReader) read(ctx context.Context, conn *kernel.Conn) (err error) {
	for _, f := range rpdb.Families() {
		rules, err := conn.Rules(ctx, f)
		if err != nil {
			return err
		}
		r.rules = append(r.rules, rules...)
	}
	if r.links, err = conn.Links(ctx); err != nil {
		return err
	}
	r.nexthops, err = conn.Nexthops(ctx)
	return err
}
