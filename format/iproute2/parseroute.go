package iproute2

import "rpdb"

// ParseRoute reads the words after "ip route add" as
// [RouteContext.ParseRequest] does, in the family given, and returns the
// nearest route. With family 0 the first address decides.
//
// Errors are of type *[ParseError].
func ParseRoute(f rpdb.Family, words []string, c RouteContext) (rpdb.Route, error) {
	return parseRoute(RouteAdd, f, words, c)
}

// ParseRouteDelete reads the words after "ip route del". What was not typed
// stands for anything: the type and protocol are zero, the scope is nowhere.
func ParseRouteDelete(f rpdb.Family, words []string, c RouteContext) (rpdb.Route, error) {
	return parseRoute(RouteDelete, f, words, c)
}

func parseRoute(v RouteVerb, f rpdb.Family, words []string, c RouteContext) (rpdb.Route, error) {
	c.Family = f
	q, err := c.ParseRequest(v, words)
	return q.Route(), err
}
