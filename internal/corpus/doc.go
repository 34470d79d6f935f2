// Package corpus makes small random worlds and flows for tests: snapshots with
// a few interfaces, up to twenty rules and sixty routes per family, and flows
// that lie on the edges of what they select. The same seed always gives the
// same worlds. It does not try to be fair: traps come often, plain traffic
// seldom.
package corpus
