package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Machine is where and with what the figures were measured.
type Machine struct {
	CPU      string
	CPUs     int
	MemoryGB string
	Kernel   string
	Go       string
	Revision string // of this project
	IP       string // the system's
	Library  string // versions of the peers
	Date     string
	Before   string // the load averages
	After    string
}

func (e *env) machine() Machine {
	m := Machine{
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Format("2006-01-02"), Before: load(),
		CPU:      field("/proc/cpuinfo", "model name"),
		Kernel:   first(os.ReadFile("/proc/sys/kernel/osrelease")),
		IP:       first(said(e.peer, "-V")),
		Revision: first(said("git", "describe", "--always", "--dirty", "--exclude=*")),
	}
	var kilobytes float64
	fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kilobytes)
	m.MemoryGB = digits(kilobytes * 1024 / 1e9)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasPrefix(d.Path, "github.com/vishvananda/netlink") {
				m.Library = d.Path + " " + d.Version
			}
		}
	}
	return m
}

// said returns what a command writes.
func said(words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, words[0], words[1:]...).Output()
}

// first returns the first line, "unknown" if there is none.
func first(text []byte, err error) string {
	line, _, _ := strings.Cut(string(text), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return line
}

// field returns a value of a file of lines "key : value".
func field(path, key string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// load returns the load averages of the last minute, five and fifteen.
func load() string {
	words := strings.Fields(first(os.ReadFile("/proc/loadavg")))
	return strings.Join(words[:min(3, len(words))], " ")
}
