package ipcmd

import "io"

// Held is text that is kept back until it is known to be right, in blocks, so that
// it is not copied as it grows. The zero value is empty. Writing to it never fails.
type Held struct{ blocks [][]byte }

// Blocks begin small, since most lists are short.
const (
	firstHeld = 2 << 10
	heldBlock = 64 << 10
)

// Write appends text.
func (h *Held) Write(p []byte) (int, error) {
	last := len(h.blocks) - 1
	if last < 0 || cap(h.blocks[last])-len(h.blocks[last]) < len(p) {
		size := heldBlock
		if last < 0 {
			size = firstHeld
		}
		h.blocks = append(h.blocks, make([]byte, 0, max(size, len(p))))
		last++
	}
	h.blocks[last] = append(h.blocks[last], p...)
	return len(p), nil
}

// WriteTo writes all of it, which stays.
func (h *Held) WriteTo(w io.Writer) (n int64, err error) {
	for _, b := range h.blocks {
		m, err := w.Write(b)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
