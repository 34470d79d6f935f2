package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// pour sends n changes to the kernel, many a datagram, and waits for the answer to
// the last of each: the quickest way to build the worlds that are measured in. It runs
// in the namespace of the calling thread.
func pour(typ uint16, n int, payload func(i int) ([]byte, error)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	chunk := make([]byte, 0, 64<<10)
	last := 0 // where the last message of the chunk begins
	for i := range n {
		body, err := payload(i)
		if err != nil {
			return err
		}
		last = len(chunk)
		chunk = appendMessage(chunk, typ, uint32(i+1), body)
		if len(chunk) < 32<<10 && i < n-1 {
			continue
		}
		flags := binary.NativeEndian.Uint16(chunk[last+6:])
		binary.NativeEndian.PutUint16(chunk[last+6:], flags|unix.NLM_F_ACK)
		if err := unix.Sendto(fd, chunk, 0, kernel); err != nil {
			return err
		}
		if err := awaitAck(fd, uint32(i+1)); err != nil {
			return err
		}
		chunk = chunk[:0]
	}
	return nil
}

func appendMessage(b []byte, typ uint16, seq uint32, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_CREATE)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, body...)
	for len(b)%unix.NLMSG_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// awaitAck reads answers up to that to the message seq. The first error ends it.
func awaitAck(fd int, seq uint32) error {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return err
		}
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN+4; {
			size := binary.NativeEndian.Uint32(b)
			of := binary.NativeEndian.Uint32(b[8:])
			errno := int32(binary.NativeEndian.Uint32(b[16:]))
			if typ := binary.NativeEndian.Uint16(b[4:]); typ == unix.NLMSG_ERROR && errno != 0 {
				return fmt.Errorf("message %d: %w", of, unix.Errno(-errno))
			}
			if of == seq {
				return nil
			}
			b = b[min(len(b), int(size+3)&^3):]
		}
	}
}

// dump asks for a list and reads it to its end, and returns of how many bytes it was. It
// runs in the namespace of the calling thread.
func dump(typ uint16, payload []byte) (total int, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return 0, err
	}
	request := appendMessage(nil, typ, 1, payload)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return total, err
		}
		total += n
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN+4; {
			switch binary.NativeEndian.Uint16(b[4:]) {
			case unix.NLMSG_ERROR:
				return total, unix.Errno(-int32(binary.NativeEndian.Uint32(b[16:])))
			case unix.NLMSG_DONE:
				return total, nil
			}
			b = b[min(len(b), int(binary.NativeEndian.Uint32(b)+3)&^3):]
		}
	}
}
