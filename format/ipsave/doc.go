// Package ipsave reads and writes the streams of "ip rule save" and "ip route
// save": four bytes that say what is in them, and then the messages of a
// netlink dump as they came from the kernel, back to back, each padded to four
// bytes.
//
// Numbers are in the byte order of the machine that wrote the stream, so a
// stream is not portable to machines with the other order; that is how ip
// wrote it. There is no count, no length and no checksum: a stream that was
// cut between two messages cannot be told from a whole one.
//
// The package frames messages and looks at nothing inside of them; package
// kernel has the codec of rules.
package ipsave
