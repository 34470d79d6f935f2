package journal

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownedBy is a file of a user.
type ownedBy uint32

func (o ownedBy) Name() string       { return "journal" }
func (o ownedBy) Size() int64        { return 0 }
func (o ownedBy) Mode() fs.FileMode  { return 0o600 }
func (o ownedBy) ModTime() time.Time { return time.Time{} }
func (o ownedBy) IsDir() bool        { return false }
func (o ownedBy) Sys() any           { return &syscall.Stat_t{Uid: uint32(o), Nlink: 1} }

func TestOnlyRootAndTheCallerAreTrusted(t *testing.T) {
	for _, uid := range []int{0, os.Geteuid()} {
		if err := trusted(ownedBy(uid), false); err != nil {
			t.Errorf("user %d: %v", uid, err)
		}
	}
	err := trusted(ownedBy(os.Geteuid()+1), false)
	if err == nil || !strings.Contains(err.Error(), "neither to root nor to user") {
		t.Errorf("another user: %v", err)
	}
}
