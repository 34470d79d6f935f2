package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"rpdb"
	"rpdb/cli/bundle"
	"rpdb/format/iptext"
	"rpdb/format/snapshot"
	"rpdb/kernel"
	"rpdb/policy"
)

// open opens the door to the kernel, in the namespace that was asked for.
func (a *app) open() (conn *kernel.Conn, err error) {
	err = a.inNetNS(func(o kernel.Options) error {
		conn, err = kernel.Open(o)
		return err
	})
	return conn, err
}

// inNetNS gives open the namespace that was asked for.
func (a *app) inNetNS(open func(kernel.Options) error) error {
	if a.netns == "" {
		return open(kernel.Options{})
	}
	ns, err := kernel.OpenNetNS(a.netns)
	if err != nil {
		return err
	}
	defer ns.Close()
	return open(kernel.Options{NetNS: ns})
}

// state returns the snapshot that a reading command works on, and the kernel
// that it came from, nil if it came from a file. The caller closes the kernel.
func (a *app) state(ctx context.Context) (*rpdb.Snapshot, *kernel.Conn, error) {
	if a.fromFile() {
		s, err := a.fileState(ctx)
		return s, nil, err
	}
	conn, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	s, err := hostDoors{conn}.Snapshot(ctx)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return s, conn, nil
}

// fromFile reports whether the state is to be read from a file, not from this
// host.
func (a *app) fromFile() bool { return a.snapshot != "" || a.fromText != "" }

// fileState reads the state from the file that was given.
func (a *app) fileState(ctx context.Context) (*rpdb.Snapshot, error) {
	option := "--snapshot"
	if a.fromText != "" {
		option = "--from-text"
	}
	switch {
	case a.snapshot != "" && a.fromText != "":
		return nil, &usageError{text: "--snapshot and --from-text exclude each other"}
	case a.netns != "":
		return nil, &usageError{text: option + " and --netns exclude each other"}
	case a.fromText != "":
		return a.readText(ctx)
	}
	return a.readSnapshot(ctx)
}

// readText reads the output of ip commands. What it does not tell is said on
// standard error, or by the documents that have a field for it.
func (a *app) readText(ctx context.Context) (*rpdb.Snapshot, error) {
	var data []byte
	err := a.withFile(ctx, a.fromText, func(r io.Reader) (err error) {
		data, err = readBounded(r, a.fromText, maxText)
		return err
	})
	if err != nil {
		return nil, err
	}
	result, err := bundle.Read(string(data), a.loadNames())
	if err != nil {
		return nil, &textError{inputName(a.fromText), err}
	}
	a.textNames = &result.Names
	if a.assumed = result.Assumed; !a.json {
		a.sayAssumed()
	}
	return result.Snapshot, nil
}

// textError is an error in the output of ip commands.
type textError struct {
	file string
	err  error
}

func (e *textError) Error() string { return safe(e.file) + ":" + e.err.Error() }

func (e *textError) Unwrap() error { return e.err }

// Hint says how a text can name what this host does not know.
func (e *textError) Hint() string {
	var at *iptext.Error
	if !errors.As(e.err, &at) {
		return ""
	}
	const how = "put the host's own file into the text, behind a line \"# cat /etc/iproute2/%s\""
	switch at.Reason {
	case bundle.UnknownTable:
		return fmt.Sprintf(how, "rt_tables")
	case bundle.UnknownProtocol:
		return fmt.Sprintf(how, "rt_protos")
	}
	return ""
}

// sayAssumed says what a text leaves open, unless a document has said it.
func (a *app) sayAssumed() {
	w := newPrinter(a.Err)
	for _, line := range a.assumed {
		w.wrap("assumed: " + safe(line))
	}
	a.assumed = nil
}

// inputName is what a file is called in messages.
func inputName(name string) string {
	if name == "-" {
		return "<stdin>"
	}
	return name
}

// readSnapshot reads what "rpdb snapshot save" or "rpdb show --json" wrote.
func (a *app) readSnapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	var s *rpdb.Snapshot
	err := a.withFile(ctx, a.snapshot, func(r io.Reader) (err error) {
		s, err = snapshot.Read(r, maxSnapshot)
		return err
	})
	if err != nil { // s may still be written to
		err = a.readFailed(ctx, "snapshot", a.snapshot, err)
		if errors.As(err, new(*fs.PathError)) || ctx.Err() != nil {
			return nil, err
		}
		return nil, &hinted{err, "\"rpdb snapshot save\" and \"rpdb show --json\" write what it reads; the output of ip goes with --from-text"}
	}
	return s, nil
}

// readFailed is the error of a file of some kind that could not be read. Where
// the system refused, its error names the file and what it refused.
func (a *app) readFailed(ctx context.Context, kind, name string, err error) error {
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return path
	case ctx.Err() != nil: // the error names the file
		return err
	}
	return fmt.Errorf("read %s %s: %w", kind, safe(name), err)
}

// What is read from a file is bounded, in bytes: a snapshot with a full
// routing table fits, and any policy that package policy takes.
const (
	maxSnapshot = 1 << 30
	maxPolicy   = 4 << 20
	maxText     = 256 << 20
)

// withFile gives a file to read, or standard input for "-". Opening and reading
// may block for ever, on a terminal or a pipe: when ctx ends, withFile returns
// and leaves them to the end of the process.
func (a *app) withFile(ctx context.Context, name string, read func(io.Reader) error) error {
	done := make(chan error, 1)
	go func() { done <- a.openAndRead(name, read) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("read %s: %w", safe(name), context.Cause(ctx))
	}
}

func (a *app) openAndRead(name string, read func(io.Reader) error) error {
	if name == "-" {
		return read(a.In)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return read(f)
}

func readBounded(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	var path *fs.PathError
	switch {
	case errors.As(err, &path): // it names the file
		return nil, path
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", safe(name), err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", safe(name), limit)
	}
	return data, nil
}

// readPolicy reads and parses a policy file.
func (a *app) readPolicy(ctx context.Context, name string) (*policy.Document, error) {
	doc, _, err := a.readPolicyText(ctx, name)
	return doc, err
}

// readPolicyText is readPolicy, and returns the text too.
func (a *app) readPolicyText(ctx context.Context, name string) (*policy.Document, string, error) {
	var data []byte
	err := a.withFile(ctx, name, func(r io.Reader) (err error) {
		shown := name
		if name == "-" {
			shown = "standard input"
		}
		data, err = readBounded(r, shown, maxPolicy)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	doc, err := policy.Parse(inputName(name), data)
	return doc, string(data), err
}

// list returns a list that JSON writes as [] when it is empty, not as null.
func list[T any](l []T) []T { return append([]T{}, l...) }

// withAssumed adds what the text leaves open that the state was read from, as
// the last field of a document.
func (a *app) withAssumed(v any) (any, error) {
	if len(a.assumed) == 0 {
		return v, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(a.assumed)
	if err != nil {
		return nil, err
	}
	a.assumed = nil
	return json.RawMessage(slices.Concat(text[:len(text)-1], []byte(`,"assumed":`), list, []byte("}"))), nil
}

// printJSON writes a value as one JSON document with a schema version in it.
func (a *app) printJSON(v any) error {
	v, err := a.withAssumed(v)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
