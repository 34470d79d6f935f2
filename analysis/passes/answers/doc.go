// Package answers reports addresses whose answers leave by the wrong door.
//
// A host with two uplinks and one default route sends the answers for both of
// its addresses by one of them. Providers drop packets with a source that is
// not theirs, so the second address is dead, and nothing on the host says so.
//
// For each usable address of the host the engine is asked which way an answer
// to the outside goes: to a destination that no route but a default covers. An
// address must answer by its own link if some table has a default route by it.
// If none has, the address belongs to an inside network where the host
// forwards packets, or where the link is of an inside kind (a bridge, a
// tunnel, a dummy; a veth unless the host's own defaults lead by one);
// otherwise it is taken for an uplink that somebody forgot. A way out through
// the same network by another link is no wrong door.
//
// Findings: an answer by the wrong door, and none at all where the link has a
// default route, are errors. Answers that a tunnel takes, that a deny rule
// drops, or that only a firewall mark would send the right way, which no
// snapshot shows, are warnings; so is an uplink that bound sockets ("ping -I")
// cannot leave by. Notes say what rp_filter does with the questions, and which
// addresses are not in use. Assumed is an answer of root without mark, TOS,
// protocol and ports.
package answers
