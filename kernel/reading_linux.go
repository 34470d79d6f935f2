package kernel

import "rpdb/kernel/netlink"

// listReading takes the messages of a list and has them used block by block: those
// of a short list when it is there, those of a long one while it comes. The zero
// value with a use is ready.
type listReading struct {
	block []byte // of messages, which is being filled

	ahead chan []byte   // blocks to use, nil if there is no goroutine for that
	free  chan []byte   // blocks that were used
	done  chan struct{} // closed when the goroutine has ended

	// Below is what using has, wherever it runs.
	use    func(*Message) error
	told   Message
	failed error // the first, after which nothing is used any more
}

const (
	readingBlock = 32 << 10 // some 400 rules or routes, as many as the kernel tells at once
	readingAhead = 4        // how many blocks may wait to be used
)

// add takes a part of the list.
func (r *listReading) add(part []byte) error {
	size := (len(part) + 3) &^ 3
	switch {
	case r.block == nil:
		r.block = make([]byte, 0, size) // most lists have no second part
	case cap(r.block)-len(r.block) < size:
		r.handOn(size)
	}
	r.block = append(r.block, part...)
	for len(r.block)%4 != 0 { // of the last message
		r.block = append(r.block, 0)
	}
	return nil
}

// handOn has the full block used and goes on in another with room for a part.
func (r *listReading) handOn(size int) {
	if r.ahead == nil {
		r.ahead, r.done = make(chan []byte, readingAhead), make(chan struct{})
		r.free = make(chan []byte, readingAhead+2) // with the one in use and the one being filled: all that there are
		go r.work()
	}
	r.ahead <- r.block
	r.block = nil
	select {
	case b := <-r.free:
		r.block = b[:0]
	default:
	}
	if cap(r.block) < size {
		r.block = make([]byte, 0, max(size, readingBlock))
	}
}

// work uses blocks until there will be no more.
func (r *listReading) work() {
	defer close(r.done)
	for b := range r.ahead {
		r.useAll(b)
		r.free <- b
	}
}

// end has what is left used, and returns the error of using.
func (r *listReading) end() error {
	if r.ahead == nil {
		r.useAll(r.block)
		return r.failed
	}
	r.ahead <- r.block
	close(r.ahead)
	<-r.done
	return r.failed
}

// useAll gives each message of a block to use.
func (r *listReading) useAll(block []byte) {
	if r.failed != nil {
		return
	}
	ms := netlink.ParseMessages(block)
	for ms.Next() && r.failed == nil {
		r.told = messageOf(ms.Message())
		r.failed = r.use(&r.told)
	}
}
