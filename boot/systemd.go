package boot

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
)

// Systemctl asks the systemd that runs on this machine for something, in the
// words of systemctl(1). It is the only program that the product calls: what else
// could ask, over the bus of systemd, would be a library of its own. The error is
// what systemctl says.
func Systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return errors.New("systemctl is not installed")
	case said != "":
		return errors.New(said)
	}
	return err
}
