package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// What a signal interrupts is said to be interrupted, not in the words of a package.
func TestInterruptedInWords(t *testing.T) {
	var said strings.Builder
	a := &app{Streams: Streams{Err: &said}}
	a.printError(fmt.Errorf("rule restore: add 5 rules: %w", context.Canceled))
	a.printError(fmt.Errorf("rule restore: %q: no such file", "context canceled"))
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGWINCH)
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	a.printError(errors.Join(fmt.Errorf("read -: %w", context.Cause(ctx)), errors.New("more")))
	const want = "rpdb: rule restore: add 5 rules: interrupted\nrpdb: rule restore: \"context canceled\": no such file\n" +
		"rpdb: read -: interrupted\nrpdb: more\n"
	if said.String() != want {
		t.Errorf("said\n%swant\n%s", &said, want)
	}
}
