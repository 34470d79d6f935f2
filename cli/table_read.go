package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

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
	// during the call only. Whole is false if some may be missing or doubled.
	routes func(ctx context.Context, f rpdb.Family, t rpdb.TableID, each func(rpdb.Route) error) (whole bool, err error)
	close  func()
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
	if a.snapshot == "" {
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
		rules: s.Rules, links: s.Links, nexthops: s.Nexthops, close: func() {},
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

// readTables reads the host.
func (a *app) readTables(ctx context.Context) (r *tableReader, err error) {
	conn, err := a.open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r = &tableReader{}
	for _, f := range rpdb.Families() {
		rules, err := conn.Rules(ctx, f)
		if err != nil {
			return nil, err
		}
		r.rules = append(r.rules, rules...)
	}
	if r.links, err = conn.Links(ctx); err != nil {
		return nil, err
	}
	if r.nexthops, err = conn.Nexthops(ctx); err != nil {
		return nil, err
	}
	socket, err := kernel.OpenSocket(kernel.Options{NetNS: conn.NetNS()})
	if err != nil {
		return nil, err
	}
	r.close = func() { socket.Close() }
	r.routes = func(ctx context.Context, f rpdb.Family, t rpdb.TableID, each func(rpdb.Route) error) (bool, error) {
		whole, err := socket.ListRoutes(ctx, routeDump(f, t), func(m kernel.RouteMessage) error {
			if m.Route.Family != f || t != 0 && m.Route.Table != t {
				return nil // of a kernel that does not filter
			}
			return each(m.Route)
		})
		for _, none := range []error{unix.ENOENT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP} {
			if errors.Is(err, none) {
				return true, nil // no such table, or a kernel without the family
			}
		}
		if err != nil {
			err = fmt.Errorf("read routes (%v): %w", f, err)
		}
		return whole, err
	}
	return r, nil
}

// routeDump is what a dump of one table, 0 for all, is asked for by: a struct
// rtmsg with attributes.
func routeDump(f rpdb.Family, t rpdb.TableID) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = byte(f)
	if t != 0 {
		b = binary.NativeEndian.AppendUint16(b, unix.SizeofRtAttr+4)
		b = binary.NativeEndian.AppendUint16(b, unix.RTA_TABLE)
		b = binary.NativeEndian.AppendUint32(b, uint32(t))
	}
	return b
}
