// Package apply carries out a plan: it makes one change after the other, reads
// the result back, and takes everything back if a step fails or if the result
// is not what was planned. That is [Run], and needs nothing but a kernel.
//
// A [Session] does so in a way that survives its own end. What is applied is a
// numbered generation. Before the first change the old and the new one and the
// deadline are on disk (package journal); afterwards the new one is confirmed,
// at once or by somebody within the time that was given, or the old one comes
// back. As long as the new one is on trial the old one stands where it stood, so
// that one message for each family leads packets back to it; what is changed where
// it stands, as a pinned rule, takes one more, and what somebody took from the old
// one meanwhile is written anew first. Only what is confirmed, or rolled back, on
// disk is cleared away: if that is cut short, the next session does the rest.
// [Begin] ends what an earlier session left unfinished, and [Guard] waits
// in a process of its own for a deadline that nobody else may live to see.
//
// The kernel stands behind the [Kernel] interface that this package declares;
// package kernel fulfils it, and kernel/kerneltest holds one in memory.
package apply
