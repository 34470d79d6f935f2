// Package cost tells what the routing policy database costs the packets of a host,
// and what of it is for nothing.
//
// The kernel walks the rules one by one, for each packet that has no socket with a
// route, and in IPv4 once more for the way back to the source of a packet that
// came in. [Of] counts the rules that are asked, foretells the time by a model that was
// fitted to a measured kernel (Linux 6.18), and lists the changes that make the walk
// shorter without changing any decision. Each such [Saving] follows from the rules
// alone, whatever the routes are: it holds when tables change, and as long as the rules
// do not.
package cost
