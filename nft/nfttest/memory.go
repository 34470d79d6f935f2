package nfttest

import (
	"context"
	"slices"
	"sync"

	"rpdb"
	"rpdb/nft"
)

// Memory keeps translations as the kernel does behind [nft.Conn]. The zero value
// has none. Its methods are safe for concurrent use; the fields are set before.
type Memory struct {
	// Foreign, if it is set, is a table of our name that is not ours.
	Foreign string
	// Refuse, if it is set, is asked before every change, which an error refuses.
	Refuse func(list []rpdb.Translation) error

	mu    sync.Mutex
	state nft.State
	sent  int
}

// Read is that of [nft.Conn].
func (m *Memory) Read(ctx context.Context) (nft.State, error) {
	if err := ctx.Err(); err != nil {
		return nft.State{}, &nft.Error{Op: "read", Object: "translations", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return nft.State{
		Translations: slices.Clone(m.state.Translations),
		Foreign:      m.Foreign,
		Unknown:      slices.Clone(m.state.Unknown),
	}, nil
}

// Replace is that of [nft.Conn].
func (m *Memory) Replace(ctx context.Context, list []rpdb.Translation) error {
	return m.put(ctx, "replace", list)
}

// Delete is that of [nft.Conn].
func (m *Memory) Delete(ctx context.Context) error { return m.put(ctx, "delete", nil) }

func (m *Memory) put(ctx context.Context, op string, list []rpdb.Translation) error {
	want, err := nft.Canonical(list)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return &nft.Error{Op: op, Object: "translations", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.Foreign != "":
		return &nft.Error{Op: op, Object: m.Foreign, Err: nft.ErrForeign}
	case len(m.state.Unknown) == 0 && slices.Equal(m.state.Translations, want):
		return nil
	}
	if m.Refuse != nil {
		if err := m.Refuse(want); err != nil {
			return &nft.Error{Op: op, Object: "translations", Err: err}
		}
	}
	m.state = nft.State{Translations: want}
	m.sent++
	return nil
}

// Disturb makes the table hold something that is not ours, as somebody with the
// nft program would.
func (m *Memory) Disturb(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Unknown = append(m.state.Unknown, what)
}

// Changes returns how many changes were made.
func (m *Memory) Changes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent
}
