package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// obliging is how long systemd may take to answer.
const obliging = time.Minute

// Systemctl asks the systemd that runs on this machine for something, in the
// words of systemctl(1), which is looked for where distributions have it: what the
// environment says does not matter. The error is what systemctl says.
func Systemctl(ctx context.Context, args ...string) error {
	program, err := systemctl()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, obliging)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--no-ask-password"}, args...)...)
	cmd.Env, cmd.Dir = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // nothing to ask on
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("no answer: %w", ctx.Err())
	case said != "":
		return errors.New(said)
	}
	return err
}

func systemctl() (string, error) {
	for _, dir := range []string{"/usr/bin", "/bin", "/run/current-system/sw/bin"} {
		path := filepath.Join(dir, "systemctl")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", errors.New("systemctl is not installed")
}
