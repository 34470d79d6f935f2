package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"rpdb"
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
	if a.snapshot != "" {
		if a.netns != "" {
			return nil, nil, &usageError{text: "--snapshot and --netns exclude each other"}
		}
		s, err := a.readSnapshot(ctx)
		return s, nil, err
	}
	conn, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	s, err := conn.Snapshot(ctx)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return s, conn, nil
}

// readSnapshot reads what "rpdb show --json" wrote.
func (a *app) readSnapshot(ctx context.Context) (*rpdb.Snapshot, error) {
	data, err := a.readFile(ctx, a.snapshot, maxSnapshot)
	if err != nil {
		return nil, err
	}
	var doc showDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", safe(a.snapshot), err)
	}
	if doc.Version != 1 && doc.Version != 0 {
		return nil, fmt.Errorf("read snapshot %s: version %d of the format, and this program knows 1", safe(a.snapshot), doc.Version)
	}
	if doc.Snapshot == nil {
		return nil, fmt.Errorf("read snapshot %s: no \"snapshot\" in it: it is not what \"rpdb show --json\" writes", safe(a.snapshot))
	}
	return doc.Snapshot, nil
}

// What is read from a file is bounded, in bytes: a snapshot with a full
// routing table fits, and any policy that package policy takes.
const (
	maxSnapshot = 1 << 30
	maxPolicy   = 4 << 20
)

// readFile reads a file, or standard input for "-". Opening and reading may
// block for ever, on a terminal or a pipe: when ctx ends, readFile returns and
// leaves them to the end of the process.
func (a *app) readFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := a.readAll(name, limit)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read %s: %w", safe(name), context.Cause(ctx))
	}
}

func (a *app) readAll(name string, limit int64) ([]byte, error) {
	if name == "-" {
		return readBounded(a.In, "standard input", limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, name, limit)
}

func readBounded(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", safe(name), err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", safe(name), limit)
	}
	return data, nil
}

// readPolicy reads and parses a policy file.
func (a *app) readPolicy(ctx context.Context, name string) (*policy.Document, error) {
	data, err := a.readFile(ctx, name, maxPolicy)
	if err != nil {
		return nil, err
	}
	if name == "-" {
		name = "<stdin>"
	}
	return policy.Parse(name, data)
}

// list returns a list that JSON writes as [] when it is empty, not as null.
func list[T any](l []T) []T { return append([]T{}, l...) }

// printJSON writes a value as one JSON document with a schema version in it.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
