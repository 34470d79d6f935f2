package rpdb_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"rpdb"
)

// generator fills values of any noun at random, every exported field of every
// struct, so that a new field takes part in the tests without being asked. It
// is biased to zeros and small numbers, where meanings change.
type generator struct{ *rand.Rand }

// rounds is how many random values a property is tried on.
const rounds = 300

// eachRound tries a property with a generator of its own per round, until it
// fails.
func eachRound(t *testing.T, property func(*testing.T, generator)) {
	t.Helper()
	for seed := range uint64(rounds) {
		if property(t, generator{rand.New(rand.NewPCG(seed, 82))}); t.Failed() {
			t.Fatalf("in round %d of %d", seed, rounds)
		}
	}
}

// random returns a random value of a type.
func random[T any](g generator) T {
	var v T
	g.fill(reflect.ValueOf(&v).Elem())
	return v
}

// fill sets what v holds to a random value.
func (g generator) fill(v reflect.Value) {
	if g.special(v) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(g.number(v.Type().Bits()))
	case reflect.Int32:
		v.SetInt(int64(int32(g.number(32))))
	case reflect.String:
		v.SetString(g.pick("", "eth0", "isp-a", "a\"b\\c", "\x1b[31m", "na\u00efve"))
	case reflect.Slice:
		v.SetZero()
		for range g.IntN(3) {
			v.Set(reflect.Append(v, g.element(v.Type().Elem())))
		}
	case reflect.Map:
		v.SetZero()
		for range g.IntN(3) {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(g.element(v.Type().Key()), g.element(v.Type().Elem()))
		}
	case reflect.Pointer:
		v.SetZero()
		if g.IntN(2) == 1 {
			v.Set(g.element(v.Type().Elem()).Addr())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			g.fill(v.Field(i))
		}
	default:
		panic("no generator for " + v.Type().String())
	}
}

// special fills the types that are more than their fields.
func (g generator) special(v reflect.Value) bool {
	switch p := v.Addr().Interface().(type) {
	case *netip.Addr:
		*p = g.addr()
	case *netip.Prefix:
		*p = g.prefix()
	case *rpdb.Action:
		*p = rpdb.RawAction(rpdb.ActionType(g.number(8)), rpdb.TableID(g.number(32)), rpdb.Priority(g.number(32)))
	case *rpdb.Raw:
		*p = rpdb.Raw(g.pick("", "\x00", "\x08\x00\x1f\x00\xff\xfe\xfd\xfc"))
	case interface{ IsSet() bool }: // an Opt
		g.opt(v)
	default:
		return false
	}
	return true
}

// opt fills an Opt through its JSON form, which has a test of its own.
func (g generator) opt(v reflect.Value) {
	v.SetZero()
	if g.IntN(2) == 0 {
		return
	}
	inner := g.element(v.MethodByName("Get").Type().Out(0))
	data, err := json.Marshal(inner.Interface())
	if err == nil {
		err = json.Unmarshal(data, v.Addr().Interface())
	}
	if err != nil {
		panic(err)
	}
}

// element returns a new, addressable random value of a type.
func (g generator) element(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	g.fill(v)
	return v
}

// number returns a number of the given width: zero, small, the greatest, any.
func (g generator) number(bits int) uint64 {
	greatest := uint64(1)<<bits - 1
	switch g.IntN(4) {
	case 0:
		return 0
	case 1:
		return g.Uint64N(8)
	case 2:
		return greatest
	}
	return g.Uint64() & greatest
}

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) addr() netip.Addr {
	return netip.MustParseAddr(g.pick("0.0.0.0", "192.0.2.1", "198.51.100.255", "::", "2001:db8::1", "fe80::1", "fe80::1%eth0", "::ffff:192.0.2.1"))
}

// prefix returns a prefix of any length, host bits and all, or none.
func (g generator) prefix() netip.Prefix {
	if g.IntN(4) == 0 {
		return netip.Prefix{}
	}
	a := g.addr().WithZone("")
	return netip.PrefixFrom(a, g.IntN(a.BitLen()+1))
}
