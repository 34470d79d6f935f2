// Package faults holds no code, only the tests that injure the whole program:
// real processes on the real kernel, in a network namespace and with a state
// directory of their own, that are killed, failed, stopped and starved. What
// comes after them must find one generation, the old or the new one. See
// docs/faults.md.
package faults
