package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"rpdb"
	"rpdb/kernel/netlink"
)

// Options say which namespace a connection is to.
type Options struct {
	// NetNS is the namespace, nil for the caller's. It may be closed once the
	// connection is open.
	NetNS *NetNS
	// Lenient has the kernel check requests as it did before Linux 4.20: it
	// applies no filter to a list, and a table that does not exist is an empty
	// one. A [Conn] asks and answers the same either way.
	Lenient bool
}

// Conn is a connection to the kernel's routing in one network namespace. It
// is safe for concurrent use; its exchanges are made one at a time.
type Conn struct {
	nl   *netlink.Conn
	ns   *NetNS
	list ruleList
	copy copyPrograms
}

// Open connects to a namespace. It needs no privilege for the caller's own.
func Open(o Options) (*Conn, error) {
	var ns *NetNS
	var err error
	if o.NetNS != nil {
		ns, err = o.NetNS.clone()
	} else {
		ns, err = CurrentNetNS()
	}
	if err != nil {
		return nil, err
	}
	nl, err := netlink.Dial(netlink.Options{NetNS: ns.FD(), Strict: !o.Lenient})
	if err != nil {
		ns.Close()
		return nil, opError("open", "connection to the kernel", err)
	}
	return &Conn{nl: nl, ns: ns}, nil
}

// Close ends the connection and whatever waits on it.
func (c *Conn) Close() error {
	return errors.Join(c.nl.Close(), c.list.close(), c.copy.close(), c.ns.Close())
}

// NetNS returns the namespace of the connection; it is closed with it.
func (c *Conn) NetNS() *NetNS { return c.ns }

// LinkName returns the name of an interface as it is now.
func (c *Conn) LinkName(index rpdb.LinkIndex) (rpdb.LinkName, error) {
	name, err := c.linkName(index)
	return name, opError("look up", fmt.Sprintf("interface %d", index), err)
}

// linkIndex returns the number of an interface.
func (c *Conn) linkIndex(name rpdb.LinkName) (rpdb.LinkIndex, error) { return linkIndex(c.nl, name) }

// linkName returns the name of an interface.
func (c *Conn) linkName(index rpdb.LinkIndex) (rpdb.LinkName, error) { return linkName(c.nl, index) }

func linkIndex(nl *netlink.Conn, name rpdb.LinkName) (rpdb.LinkIndex, error) {
	ifr, err := unix.NewIfreq(string(name))
	if err != nil || name == "" || strings.ContainsRune(string(name), ':') {
		return 0, unix.ENODEV // no interface can have this name; the kernel would cut it at the colon
	}
	if err := ioctl(nl, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return rpdb.LinkIndex(ifr.Uint32()), nil
}

func linkName(nl *netlink.Conn, index rpdb.LinkIndex) (rpdb.LinkName, error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	ifr.SetUint32(uint32(index))
	if err := ioctl(nl, unix.SIOCGIFNAME, ifr); err != nil {
		return "", err
	}
	return rpdb.LinkName(ifr.Name()), nil
}

func ioctl(nl *netlink.Conn, request uint, ifr *unix.Ifreq) error {
	var failed error
	if err := nl.Control(func(fd int) { failed = unix.IoctlIfreq(fd, request, ifr) }); err != nil {
		return err
	}
	return failed
}

// execute sends a request that nobody needs the answer of.
func (c *Conn) execute(op, object string, e *netlink.Encoder) error {
	return opError(op, object, c.nl.Execute(context.Background(), e, nil))
}

func linkObject(name rpdb.LinkName) string { return fmt.Sprintf("link %q", name) }
