module rpdb/bench

go 1.26.0

replace rpdb => ../

require (
	github.com/cilium/ebpf v0.22.0
	github.com/vishvananda/netlink v1.3.1
	golang.org/x/sys v0.49.0
	rpdb v0.0.0-00010101000000-000000000000
)

require (
	github.com/gaissmai/bart v0.30.0 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
)
