package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// What a signal interrupts is said to be interrupted, not in the words of a package.
func TestInterruptedInWords(t *testing.T) {
	var said strings.Builder
	a := &app{Streams: Streams{Err: &said}}
	a.printError(fmt.Errorf("rule restore: add 5 rules: %w", context.Canceled))
	a.printError(fmt.Errorf("rule restore: %q: no such file", "context canceled"))
	const want = "rpdb: rule restore: add 5 rules: interrupted\nrpdb: rule restore: \"context canceled\": no such file\n"
	if said.String() != want {
		t.Errorf("said\n%swant\n%s", &said, want)
	}
}
