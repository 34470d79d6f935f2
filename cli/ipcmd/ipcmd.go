// Package ipcmd is the personality under the name "ip": the words, bytes and
// exit codes of iproute2. What it does not speak itself it hands to the
// system's own ip, with the same arguments and descriptors.
//
// It is linked into the lean program cmd/ip and imports nothing heavy.
package ipcmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"rpdb"
	"rpdb/cli/names"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// exitUsage is what ip returns for a failed listing of rules and for what it
// cannot parse.
const exitUsage = 255

// Run carries out one command line, without the program's name. It returns the
// exit code, unless the command line is one for the system's ip, which then
// takes the place of this process.
func Run(args []string, stdout, stderr io.Writer) int {
	family, ok := ruleList(args)
	if !ok {
		return handOver(args, stderr)
	}
	if err := list(stdout, family); err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return exitUsage
	}
	return 0
}

// ruleList reports whether the arguments are a plain listing of rules, and of
// which family.
func ruleList(args []string) (rpdb.Family, bool) {
	family := rpdb.IPv4
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-4", "--4":
			family = rpdb.IPv4
		case "-6", "--6":
			family = rpdb.IPv6
		default:
			return 0, false
		}
		args = args[1:]
	}
	if len(args) == 0 || !slices.Contains([]string{"ru", "rul", "rule"}, args[0]) {
		return 0, false
	}
	if len(args) == 1 {
		return family, true
	}
	isList := slices.ContainsFunc([]string{"list", "lst", "show"}, func(w string) bool { return strings.HasPrefix(w, args[1]) })
	return family, len(args) == 2 && args[1] != "" && isList
}

// list prints the rules of a family, one line each.
func list(stdout io.Writer, family rpdb.Family) error {
	conn, err := kernel.Open(kernel.Options{})
	if err != nil {
		return err
	}
	defer conn.Close()
	rules, err := conn.Rules(context.Background(), family)
	if err != nil {
		return err
	}
	n, _ := names.Load()
	out := bufio.NewWriter(stdout)
	for _, r := range rules {
		fmt.Fprintln(out, iproute2.Rule(r, n))
	}
	return out.Flush()
}

// handOver replaces this process by the system's ip.
func handOver(args []string, stderr io.Writer) int {
	path, err := systemIP()
	if err == nil {
		err = syscall.Exec(path, append([]string{"ip"}, args...), os.Environ())
	}
	fmt.Fprintf(stderr, "ip: %v\n", err)
	return exitUsage
}

// systemIP finds the first ip in PATH and in the usual places that is not this
// program.
func systemIP() (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/bin", "/bin")
	for _, dir := range dirs {
		path := filepath.Join(dir, "ip")
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !os.SameFile(info, self) {
			return path, nil
		}
	}
	return "", fmt.Errorf("the system's own ip is not in PATH")
}
