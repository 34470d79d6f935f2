// Package kerneltest is for tests of everything that stands on package kernel.
//
// [Main] and [Namespace] give a test a private network namespace of the real
// kernel, as root or as an ordinary user. [Memory] is a kernel in memory: it
// keeps rules, routes, interfaces and addresses as Linux 6.18 does, refuses
// what Linux refuses, with the same errno and text, and needs no privilege.
// [Suite] is what both must pass, so that the one in memory cannot drift into
// fiction. [Script] lets a test build a world in the words of ip(8).
package kerneltest
