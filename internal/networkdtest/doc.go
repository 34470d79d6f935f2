// Package networkdtest starts the systemd-networkd of this machine for a test:
// in a network namespace of its own, on files of the test, without an init
// system, a message bus or udev. What it makes of the files is read from the
// kernel.
//
// A private mount namespace covers /run, /etc/systemd and /var/lib/systemd, and
// /sys is read-only, which is how networkd knows that there is no udev to wait
// for.
package networkdtest
