// Package linkdown reports default routes that lead to a dead interface.
//
// A route whose interface has no carrier is still chosen, and packets sent by
// it are lost, unless ignore_routes_with_linkdown is set: then the table
// answers with its next route, or not at all. A route whose interface is down
// is never chosen. Only tables that a rule looks up are looked at.
package linkdown
