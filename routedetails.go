package rpdb

// RouteDetails is what the kernel tells in a message about a route besides
// what the route is: of the flow that a lookup was about, and of the route's
// use. Nothing of it is configuration, and two routes that differ in nothing
// else are equal. It is comparable; the zero value tells nothing.
type RouteDetails struct {
	// Flags are all bits of rtm_flags: those of [RouteFlags] and, in the low
	// eight, those of a single nexthop.
	Flags uint32
	IIF   LinkIndex   // of the packet that was looked up (RTA_IIF), 0 for none
	UID   Opt[uint32] // of the socket that was looked up (RTA_UID)
	Mark  uint32      // of the packet that was looked up (RTA_MARK), 0 for none
	Cache Opt[RouteCache]
}

// RouteCache counts the use of a route (struct rta_cacheinfo). Times are in
// clock ticks, 100 to the second. The zero value is a route without an end that
// nobody used.
type RouteCache struct {
	Users   uint32 // references (rta_clntref)
	Age     uint32 // ticks since the last use (rta_lastuse)
	Expires int32  // ticks left to live, 0 for no end; negative: over
	Error   int32  // errno that the route answers with, negated; 0 for none
	Used    uint32 // times that it was used (rta_used)
	ID      uint32
	TS      uint32
	TSAge   uint32
}
