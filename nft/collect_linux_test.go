package nft_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/nft"
	"rpdb/nft/nfttest"
)

// TestReread: without a kernel in between, what is written is read back; and
// whatever byte of a rule is changed, either it is told, or it is of no meaning.
func TestReread(t *testing.T) {
	r := rand.New(rand.NewPCG(82, 9))
	told, meaningless := 0, 0
	for range 1500 {
		list, err := nft.Canonical(nfttest.Random(r, 1+r.IntN(3)))
		if err != nil {
			continue
		}
		for _, f := range rpdb.Families() {
			mine := slices.DeleteFunc(slices.Clone(list), func(x rpdb.Translation) bool { return x.Family != f })
			got, unknown, _, err := nft.Reread(f, mine, r, nil)
			if err != nil || len(unknown) > 0 || !slices.Equal(got, mine) {
				t.Fatalf("got %+v, %q, %v\nwant %+v", got, unknown, err, mine)
			}
			got, unknown, untouched, err := nft.Reread(f, mine, r, func(b []byte) { b[r.IntN(len(b))] ^= 1 << r.IntN(8) })
			switch {
			case err != nil || len(unknown) > 0:
				told++
			case untouched:
				meaningless++ // padding, and flags that say how to read
			case slices.Equal(got, mine):
				t.Fatalf("a changed rule is taken for ours: %+v", got)
			default:
				told++ // it is another translation now
			}
		}
	}
	if told < 1000 || meaningless > told {
		t.Errorf("%d changes are told, %d have no meaning", told, meaningless)
	}
}

// TestOtherKernels: what a kernel says that lacks nf_tables, or a part of it.
func TestOtherKernels(t *testing.T) {
	for _, err := range []error{nft.Supported(unix.EINVAL), nft.Supported(unix.EOPNOTSUPP), nft.Lacking(unix.ENOENT), nft.Lacking(unix.EOPNOTSUPP)} {
		if !errors.Is(err, nft.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	}
	for _, err := range []error{nft.Supported(unix.EPERM), nft.Lacking(unix.EPERM), nft.Lacking(unix.EBUSY)} {
		if errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	}
	if nft.Supported(nil) != nil || nft.Lacking(nil) != nil {
		t.Error("an error of nothing")
	}
}

// TestComments: user data comes from anybody.
func TestComments(t *testing.T) {
	for data, want := range map[string]string{
		"": "", "\x00": "", "\x00\x03ab\x00": "ab", "\x00\x02ab": "ab", "\x01\x01x\x00\x02y\x00": "y", "\x00\x09ab": "", "\x05\x00\x00\x01\x00": "",
	} {
		if got := nft.Comment([]byte(data)); got != want {
			t.Errorf("%q is %q, want %q", data, got, want)
		}
	}
}
