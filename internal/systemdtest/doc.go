// Package systemdtest gives a test a machine of its own that systemd has booted:
// the real one, as the first process of its own namespaces, with the programs of
// the machine that the test runs on and a disk that is a directory. What runs
// there sees no other processes, units, interfaces or files than its own, so that
// a test may start units, ask for timers, cut the power and boot again.
//
// It is what of a virtual machine matters to units and timers, and takes a second.
// The kernel is the one that the test runs on; what of it belongs to no namespace
// cannot be written to: /sys, and /proc/sys but for /proc/sys/net. Clocks, kernel
// modules and the kernel's log cannot be touched.
package systemdtest
