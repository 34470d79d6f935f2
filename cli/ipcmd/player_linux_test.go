package ipcmd

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ourPlayer plays sessions with our ip. What is not for it is done by the ip of
// iproute2 at system.
type ourPlayer struct {
	*machine
	system string
}

func (p *ourPlayer) ip(env, args []string, stdin string) outcome {
	return p.ours(env, []byte(stdin), args, p.system)
}

func (p *ourPlayer) shell(line, stdin string) outcome { return p.script(line, stdin) }

func (p *ourPlayer) start(t *testing.T, args []string) func() string {
	return p.monitor(t, nil, args, func(words ...string) { p.ours(nil, nil, words, p.system) })
}

// theirPlayer plays sessions with the ip of iproute2.
type theirPlayer struct {
	*machine
	with peer
}

func (p *theirPlayer) ip(env, args []string, stdin string) outcome {
	return p.run(p.program(p.colored(env), p.path, args...), []byte(stdin))
}

// colored is an environment in which the release shows the colours of ours.
func (p *theirPlayer) colored(env []string) []string {
	colors := ""
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, "COLORFGBG="); ok {
			colors = value
		}
	}
	return append(slices.Clone(env), "COLORFGBG="+p.with.background(colors))
}

func (p *theirPlayer) shell(line, stdin string) outcome { return p.script(line, stdin) }

func (p *theirPlayer) start(t *testing.T, args []string) func() string {
	return p.monitor(t, p.colored(nil), args, func(words ...string) { p.ip(nil, words, "") })
}

// script runs a line in a shell.
func (m *machine) script(line, stdin string) outcome {
	return m.run(m.program(nil, "/bin/sh", "-c", line), []byte(stdin))
}

// told is what a monitor has printed. It is safe for concurrent use.
type told struct {
	sync.Mutex
	bytes.Buffer
}

func (o *told) Write(p []byte) (int, error) {
	o.Lock()
	defer o.Unlock()
	return o.Buffer.Write(p)
}

func (o *told) text() string {
	o.Lock()
	defer o.Unlock()
	return o.String()
}

// lighthouses begins the priorities of rules that come and go to see what a
// monitor has seen, each once.
const lighthouses = "42949"

var clock = regexp.MustCompile(`(?m)^Timestamp: .* usec$|^\[20[0-9T:.-]*\]`)

// monitor starts the ip of the machine and waits until it hears of changes. The
// result waits until it has told all, ends it, and returns that, with the times
// left out.
func (m *machine) monitor(t *testing.T, env, args []string, ip func(words ...string)) (end func() string) {
	var out told
	cmd := m.program(env, m.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	m.do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	family := "-4"
	if slices.Contains(args, "-6") {
		family = "-6"
	}
	n := 0
	flash := func() {
		t.Helper()
		patience := 20 * time.Millisecond // since the first ones come before the monitor listens
		for ; patience < 20*time.Second; patience += patience / 2 {
			priority := fmt.Sprintf("%s%05d", lighthouses, n)
			n++
			ip(family, "rule", "add", "pref", priority, "nop")
			ip(family, "rule", "del", "pref", priority)
			for wait := time.Now().Add(patience); time.Now().Before(wait); time.Sleep(time.Millisecond) {
				if strings.Count(out.text(), priority) == 2 && strings.HasSuffix(out.text(), "\n") {
					return
				}
			}
		}
		t.Fatalf("the monitor %q tells nothing but %q", args, out.text())
	}
	flash()
	return func() string {
		flash()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return clock.ReplaceAllStringFunc(withoutLighthouses(out.text()), func(s string) string {
			if strings.HasPrefix(s, "[") {
				return "[TIME]"
			}
			return "Timestamp: TIME"
		})
	}
}

// withoutLighthouses leaves out the lines about them, and those with the time in
// front of such lines.
func withoutLighthouses(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, lighthouses) {
			kept = append(kept, line)
			continue
		}
		if n := len(kept); n > 0 && strings.HasPrefix(kept[n-1], "Timestamp: ") {
			kept = kept[:n-1]
		}
	}
	return strings.Join(kept, "")
}
