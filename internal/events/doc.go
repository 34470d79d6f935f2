// Package events holds no code: its tests let happen to a real kernel what happens
// to hosts, to links, to addresses and to gateways, by hand and by the real programs
// (a DHCP server and client, a router that advertises itself), and hold that one
// rpdb repair afterwards leads to the state that the policy means. The table of
// docs/events.md names each of them.
package events
