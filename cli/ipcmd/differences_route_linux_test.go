package ipcmd

import (
	"encoding/binary"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// clocks is what of the output about a route runs on.
var clocks = regexp.MustCompile(`((?:expires|age|users|used) |"(?:expires|age|users|used)": ?)-?[0-9]+`)

// routeMagic is what a stream of saved routes begins with.
const routeMagic = "\x24\x12\x31\x45"

// withoutClock returns an output without what tells the time, or who asked the
// kernel.
func withoutClock(out string) string {
	if !strings.HasPrefix(out, routeMagic) {
		return clocks.ReplaceAllString(out, "${1}N")
	}
	stream := []byte(out)
	for rest := stream[len(routeMagic):]; len(rest) >= unix.SizeofNlMsghdr; {
		n := int(binary.NativeEndian.Uint32(rest))
		if n < unix.SizeofNlMsghdr+unix.SizeofRtMsg || n > len(rest) {
			break
		}
		clear(rest[8:16]) // sequence number and port
		stopClock(rest[unix.SizeofNlMsghdr+unix.SizeofRtMsg : n])
		rest = rest[n:]
	}
	return string(stream)
}
