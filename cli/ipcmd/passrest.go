package ipcmd

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// recorder is a reader that keeps what was read of the lines that are not done
// yet: the parser of a batch reads ahead.
type recorder struct {
	from io.Reader
	data []byte
	done int // lines that are forgotten
	keep bool
}

// Read reads on.
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.keep {
		r.data = append(r.data, p[:n]...)
	}
	return n, err
}

// forget drops what stands up to the end of a line.
func (r *recorder) forget(line int) {
	for r.keep && r.done < line {
		end := bytes.IndexByte(r.data, '\n')
		if end < 0 {
			return
		}
		r.data = r.data[end+1:]
		r.done++
	}
}

// rest is what is still to be done, with empty lines in place of what is done,
// so that lines keep their numbers.
func (r *recorder) rest() io.Reader {
	return io.MultiReader(strings.NewReader(strings.Repeat("\n", r.done)), bytes.NewReader(r.data), r.from)
}

// passRest runs the rest of a batch in the system's ip and returns its exit
// code, or that of a failure before.
func (s *session) passRest(name string, code int, r *recorder) (int, error) {
	if s.HandOver != nil {
		return max(code, s.HandOver(s.Args)), nil
	}
	path, self, err := systemIP()
	if err != nil {
		return 0, fail(1, "ip: %v\n", err)
	}
	s.out.Flush()
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	args, at := batchAt(s.Args, name)
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for len(files) <= at {
		files = append(files, nil)
	}
	files[at] = read
	child, err := os.StartProcess(path, append([]string{s.name()}, args...), &os.ProcAttr{Files: files, Env: handedOver(self)})
	read.Close()
	if err != nil {
		write.Close()
		return 0, err
	}
	go func() {
		defer write.Close()
		_, _ = io.Copy(write, r.rest()) // the child may end before its input does
	}()
	state, err := child.Wait()
	if err != nil {
		return 0, err
	}
	if state.ExitCode() < 0 {
		return 0, fail(1, "ip: %v\n", state)
	}
	return max(code, state.ExitCode()), nil
}

// batchAt returns the arguments with which the system's ip reads the batch from
// a descriptor, and which one: the one that the arguments name, or standard
// input.
func batchAt(args []string, name string) ([]string, int) {
	if name == "-" || name == "/dev/stdin" {
		return args, 0
	}
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, dir)); err == nil && strings.HasPrefix(name, dir) {
			return args, n
		}
	}
	args = slices.Clone(args)
	for i := 1; i < len(args); i++ { // of several batches the last one counts
		if option, _ := lookUpOption(oneDash(args[i-1])); option.name() == "-batch" && args[i] == name {
			args[i] = "-"
		}
	}
	return args, 0
}
