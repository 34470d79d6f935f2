// Package differential holds no code, only the test that puts the same flows
// to the engine and to the kernel that runs here: random worlds of
// internal/corpus are built in namespaces of their own, and wherever fib does
// not agree with the kernel, the test prints the world as commands of ip that
// can be pasted.
package differential
