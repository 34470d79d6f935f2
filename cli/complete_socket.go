package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rpdb"
	"rpdb/kernel"
)

// maxSocketOffers is how many sockets a press of the key offers at most.
const maxSocketOffers = 200

// sockets returns the sockets of the host, and the interfaces that they are
// bound to.
func (v *hostOffers) sockets(ctx context.Context) (list []kernel.InetSocket, links map[rpdb.LinkIndex]rpdb.LinkName) {
	conn, err := v.a.open()
	if err != nil {
		return nil, nil
	}
	defer conn.Close()
	list, _ = conn.InetSockets(ctx)
	slices.SortFunc(list, compareSockets)
	links = map[rpdb.LinkIndex]rpdb.LinkName{}
	for _, s := range list {
		if s.Bound != 0 && links[s.Bound] == "" {
			links[s.Bound], _ = conn.LinkName(s.Bound)
		}
	}
	return list, links
}

// completeSocket offers the sockets of the host, as far as every shell takes
// them for one word: neither IPv6 addresses in their brackets nor the * of a
// socket without an address. The latter is offered by its port.
func (a *app) completeSocket(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	ctx, cancel := context.WithTimeout(v.ctx, completionTime)
	defer cancel()
	list, links := v.sockets(ctx)
	for _, s := range list {
		if len(v.list) >= maxSocketOffers {
			break
		}
		local, remote := endNames(s, links[s.Bound])
		word := strings.TrimPrefix(local, "*")
		if s.IsConnected() {
			word += "," + remote
		}
		v.add(word, protocolName(s.Protocol)+" "+s.State.String())
	}
	return v.list, noFiles
}

// completePID offers the processes with sockets of IPv4 or IPv6 in the
// namespace, as far as the caller may look into them, with their names.
func (a *app) completePID(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	v := a.newOffers(cmd.Context(), begun)
	ctx, cancel := context.WithTimeout(v.ctx, completionTime)
	defer cancel()
	known := map[uint32]bool{}
	list, _ := v.sockets(ctx)
	for _, s := range list {
		known[s.Inode] = s.Inode != 0
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !strings.HasPrefix(e.Name(), begun) || ctx.Err() != nil {
			continue
		}
		inodes, _ := kernel.ProcessSockets(pid)
		for inode := range inodes {
			if known[inode] {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				v.add(e.Name(), string(name))
				break
			}
		}
	}
	return v.list, noFiles
}
