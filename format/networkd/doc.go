// Package networkd reads the configuration of systemd-networkd.
//
// So far it reads one thing: whether networkd deletes routes and routing policy rules
// that it did not make (networkd.conf(5)).
package networkd
