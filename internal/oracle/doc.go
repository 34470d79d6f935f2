// Package oracle decides flows the slow and obvious way: it reads the snapshot
// from end to end for every question, keeps nothing prepared, and follows the
// kernel's steps one by one. It is the twin that the engine is tested against,
// and shares no code with it.
package oracle
