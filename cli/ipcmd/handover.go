package ipcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// passed is the environment variable in which programs of ours that handed a
// command over note who they are, so that two copies in PATH do not hand it to
// each other for ever.
const passed = "RPDB_IP_PASSED"

// handOver lets the system's ip take the place of this process, with the
// arguments, descriptors and the name that this one was called by.
func (s *session) handOver() int {
	if s.HandOver != nil {
		return s.HandOver(s.Args)
	}
	path, self, err := systemIP()
	if err == nil {
		err = syscall.Exec(path, append([]string{s.name()}, s.Args...), handedOver(self))
	}
	if errors.Is(err, errNoSystemIP) {
		return s.withoutSystemIP()
	}
	fmt.Fprintf(s.Stderr, "ip: %v\n", err)
	return 255
}

// handedOver is the environment for the system's ip.
func handedOver(self string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, passed+"=") })
	return append(env, passed+"="+os.Getenv(passed)+":"+self)
}

var errNoSystemIP = errors.New("the system's own ip is not in PATH")

// systemIP finds the first ip in PATH and in the usual places that is not this
// program, nor one that has handed the command to this program. It returns its
// path, and who this program is.
func systemIP() (path, self string, err error) {
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", "", err
	}
	self = identity(own)
	tried := append(strings.Split(os.Getenv(passed), ":"), self)
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/bin", "/bin")
	for _, dir := range dirs {
		path := filepath.Join(dir, "ip")
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !slices.Contains(tried, identity(info)) {
			return path, self, nil
		}
	}
	return "", self, errNoSystemIP
}

// identity names a file, whatever its path.
func identity(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Name()
	}
	return fmt.Sprintf("%x.%x", st.Dev, st.Ino)
}

// withoutSystemIP says what can be said where there is no other ip.
func (s *session) withoutSystemIP() int {
	switch {
	case s.object == "" && s.word != "":
		return s.report(unknownObject(s.word), 1)
	case s.object == "help" || s.object == "":
		fmt.Fprint(s.Stderr, usage)
		return 255
	}
	fmt.Fprintf(s.Stderr, "ip: %s: %v\n", s.object, errNoSystemIP)
	return 255
}

// usage is the help of an ip that has no other ip beside it.
const usage = `Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }
       ip [ -force ] -batch filename
where  OBJECT := { route | rule | monitor }
       OPTIONS := { -V[ersion] | -d[etails] | -N[umeric] | -j[son] | -p[retty] |
                    -c[olor] | -f[amily] { inet | inet6 | mpls | bridge | link } |
                    -4 | -6 | -M | -B | -0 | -echo | -t[imestamp] | -ts[hort] |
                    -b[atch] [filename] | -n[etns] name }
`
