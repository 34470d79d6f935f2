package fib

import (
	"maps"
	"slices"
)

// shards is a map of which a change copies a part and versions share the rest. It
// never changes. The zero value is empty.
type shards[K sharded, V any] struct {
	parts []map[K]V // a power of two of them
	n     int
}

// sharded is a key that says to which part it belongs, by the lower bits.
type sharded interface {
	comparable
	shard() uint64
}

// perShard is how many keys a part has in the mean before all are dealt anew.
const perShard = 64

// newShards makes one of a map, which it keeps.
func newShards[K sharded, V any](all map[K]V) shards[K, V] {
	s := shards[K, V]{parts: []map[K]V{all}, n: len(all)}
	for s.n >= len(s.parts)*perShard {
		s = s.dealt()
	}
	return s
}

func (s *shards[K, V]) part(k K) map[K]V { return s.parts[s.place(k)] }

func (s *shards[K, V]) place(k K) int { return int(k.shard() & uint64(len(s.parts)-1)) }

func (s *shards[K, V]) get(k K) (v V, ok bool) {
	if s.n > 0 {
		v, ok = s.part(k)[k]
	}
	return v, ok
}

// with returns the map with one key more, or another value for it.
func (s shards[K, V]) with(k K, v V) shards[K, V] {
	if s.n >= len(s.parts)*perShard {
		s = s.dealt()
	}
	next := s.copied(k)
	next.part(k)[k] = v
	next.n += len(next.part(k)) - len(s.part(k))
	return next
}

// dealt returns the map in more parts, with room for as many keys again.
func (s shards[K, V]) dealt() shards[K, V] {
	next := shards[K, V]{n: s.n, parts: make([]map[K]V, max(1, 2*len(s.parts)))}
	for i := range next.parts {
		next.parts[i] = make(map[K]V, s.n/len(next.parts))
	}
	for _, part := range s.parts {
		for k, v := range part {
			next.part(k)[k] = v
		}
	}
	return next
}

// without returns the map with one key less.
func (s shards[K, V]) without(k K) shards[K, V] {
	if s.n == 0 {
		return s
	}
	next := s.copied(k)
	delete(next.part(k), k)
	next.n += len(next.part(k)) - len(s.part(k))
	return next
}

// copied returns a copy of which the part of a key may be changed.
func (s shards[K, V]) copied(k K) shards[K, V] {
	s.parts = slices.Clone(s.parts)
	at := s.place(k)
	s.parts[at] = maps.Clone(s.parts[at])
	return s
}
