// Package apply carries out a plan: it makes one change after the other, reads
// the result back, and takes everything back if a step fails or if the result
// is not what was planned.
//
// The kernel stands behind the [Kernel] interface that this package declares;
// package kernel fulfils it, and kernel/kerneltest holds one in memory.
package apply
