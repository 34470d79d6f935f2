package ipcmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/format/iproute2"
	"rpdb/kernel"
)

// Call is one command line and what it works with. Only the streams must be
// set. A Call is run once.
type Call struct {
	// Name is the name that the program was called by. Behind its first two
	// letters it may name an object, as in "iprule". "" is "ip".
	Name string
	// Args are the words behind the name.
	Args []string
	// Stdin is read by -batch - and by what restores and shows what was saved. It and Stdout are asked
	// whether they are terminals if they are an *os.File.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv reads the environment, nil for none.
	Getenv func(string) string
	// NetNS is the namespace to work in without -netns, nil for the calling
	// thread's.
	NetNS *kernel.NetNS
	// HandOver carries out a command line that is not for us and returns its
	// exit code; nil lets the system's ip take the place of this process.
	HandOver func(args []string) int
	// Now is the clock of time stamps, nil for the system's.
	Now func() time.Time

	slow time.Duration // what a rule may take to be added that others wait for, 0 for [slowAddition]
}

// Run carries the call out and returns the exit code, unless the command line
// is one for the system's ip, which then takes the place of this process.
func (c Call) Run() int {
	s := &session{Call: c}
	defer s.close()
	s.out = bufio.NewWriterSize(c.Stdout, 1<<15)
	code, err := s.run()
	switch {
	case errors.Is(err, errHandOver):
		return s.handOver()
	case errors.Is(err, ErrVersion):
		s.out.WriteString(versionText())
		err = nil
	}
	return s.finish(s.report(err, code))
}

// Main runs the process's own command line and returns the exit code.
func Main() int {
	if err := dropCapabilities(); err != nil {
		fmt.Fprintf(os.Stderr, "ip: %v\n", err)
		return 1
	}
	return Call{
		Name: os.Args[0], Args: os.Args[1:],
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
	}.Run()
}

// session is a call under way.
type session struct {
	Call
	opts    Options
	word    string // that names the object, as typed
	object  string // as understood, "" for none
	out     *bufio.Writer
	sock    *kernel.Socket
	aside   *kernel.Socket // for what is asked or done while a list is read
	names   nameFiles
	waiting *waiting // nil unless changes of a batch wait for each other
	routes  iproute2.RouteContext
	parser  iproute2.RouteParser
	payload []byte // of the last change of a route

	nexthops map[uint32]rpdb.NexthopObject // that were asked for; one without an ID is not there
}

// run reads the command line down to the object. The code counts if there is
// no error.
func (s *session) run() (code int, err error) {
	opts, words, err := ParseOptions(s.Args)
	if err != nil {
		return 0, err
	}
	s.opts = opts
	switch object := objectOfName(s.Name); {
	case opts.Batch != nil:
		return s.runBatch(*opts.Batch)
	case object != "":
		s.object = object
		return 0, s.command(object, words)
	case len(words) == 0:
		return 0, errHandOver
	}
	s.word, s.object = words[0], objectOf(words[0])
	if s.object == "" && (s.word == "" || s.word[0] == '-') {
		return 0, unknownObject(s.word)
	}
	return 0, s.command(s.object, words[1:])
}

// command carries out the words behind an object.
func (s *session) command(object string, words []string) error {
	if s.opts.InNetNS && object != "" {
		s.names.enter(s.opts.NetNS, s.Stderr)
	}
	switch object {
	case "rule":
		return s.rule(words)
	case "route":
		return s.route(words)
	case "monitor":
		return s.monitor(words)
	}
	return errHandOver
}

// report prints what an error has to say and returns the exit code.
func (s *session) report(err error, code int) int {
	var f *failure
	switch {
	case err == nil:
		return code
	case errors.As(err, &f):
		fmt.Fprint(s.Stderr, f.text)
		return f.code
	}
	fmt.Fprintf(s.Stderr, "ip: %v\n", err)
	return 1
}

// finish writes out what is left. ip does not notice when that fails; we do.
func (s *session) finish(code int) int {
	if err := s.out.Flush(); err != nil {
		fmt.Fprintf(s.Stderr, "ip: write standard output: %v\n", errnoIn(err))
		return max(code, 1)
	}
	return code
}

func (s *session) close() {
	for _, sock := range []*kernel.Socket{s.sock, s.aside} {
		if sock != nil {
			sock.Close()
		}
	}
}

// name is what the program was called.
func (s *session) name() string {
	if s.Name == "" {
		return "ip"
	}
	return s.Name
}

func (s *session) getenv(key string) string {
	if s.Getenv == nil {
		return ""
	}
	return s.Getenv(key)
}

func (s *session) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// socket opens the door to the kernel, once.
func (s *session) socket() (*kernel.Socket, error) { return s.open(&s.sock) }

// asideSocket opens another door, once.
func (s *session) asideSocket() (*kernel.Socket, error) { return s.open(&s.aside) }

// open opens a socket that is not open yet. In a batch ip does not have the
// kernel check strictly what it is asked for, and so hears nothing of tables
// that do not exist.
func (s *session) open(sock **kernel.Socket) (*kernel.Socket, error) {
	if *sock != nil {
		return *sock, nil
	}
	err := s.inNetNS(func(o kernel.Options) (err error) {
		o.Lenient = s.opts.Batch != nil
		*sock, err = kernel.OpenSocket(o)
		return err
	})
	return *sock, err
}

// inNetNS gives open the namespace that the call works in.
func (s *session) inNetNS(open func(kernel.Options) error) error {
	ns := s.NetNS
	if s.opts.InNetNS {
		var err error
		if ns, err = openNetNS(s.opts.NetNS); err != nil {
			return err
		}
		defer ns.Close()
	}
	err := open(kernel.Options{NetNS: ns})
	if s.opts.InNetNS && errors.Is(err, unix.EPERM) && s.sock == nil {
		return exit(255, "setting the network namespace \"%s\" failed: %s\n", s.opts.NetNS, errnoText(unix.EPERM))
	}
	return err
}

// withConn opens a careful connection to the kernel for as long as use takes.
func (s *session) withConn(use func(*kernel.Conn) error) error {
	return s.inNetNS(func(o kernel.Options) error {
		conn, err := kernel.Open(o)
		if err != nil {
			return err
		}
		defer conn.Close()
		return use(conn)
	})
}

// openNetNS opens the namespace of -netns: for ip the name of a file in the folder
// of ip-netns(8), whatever the name looks like. Ours takes an absolute path too.
func openNetNS(name string) (*kernel.NetNS, error) {
	ns, err := kernel.OpenNetNS("/run/netns/" + name)
	if err == nil {
		return ns, nil
	}
	if strings.HasPrefix(name, "/") {
		if ns, err := kernel.OpenNetNS(name); err == nil {
			return ns, nil
		}
	}
	var errno unix.Errno
	errors.As(err, &errno)
	if errno == unix.EINVAL { // there, but not a namespace
		return nil, exit(255, "setting the network namespace \"%s\" failed: %s\n", name, errnoText(errno))
	}
	return nil, exit(255, "Cannot open network namespace \"%s\": %s\n", name, errnoText(errno))
}

// isTerminal reports whether a stream is one.
func isTerminal(stream any) bool {
	if in, ok := stream.(*restOfBatch); ok {
		stream = in.from
	}
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// errnoIn returns the errno inside err, or err: what stands around it our own
// text says already.
func errnoIn(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
