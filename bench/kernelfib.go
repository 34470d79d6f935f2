package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"rpdb"
)

// kernelFIB asks the running kernel for its decisions by bpf_fib_lookup, in programs
// that the kernel runs without a packet (BPF_PROG_TEST_RUN). It makes the walk of the
// rules and the lookup in the tables that a forwarded packet has, and nothing else.
type kernelFIB struct {
	flows, answers, turn *ebpf.Map
	lookup, empty        *ebpf.Program
	n                    int
}

// Of struct bpf_fib_lookup, and what may be asked for (linux/bpf.h).
const (
	paramSize  = 64
	skipNeigh  = 4
	withMark   = 32
	atIfIndex  = 8
	atSrc      = 16
	atDst      = 32
	atMark     = 52
	answerSize = 24 // the code, the interface, the gateway
)

// kernelAnswer is what the kernel said about a flow.
type kernelAnswer struct {
	code uint32 // 0: forwarded
	link rpdb.LinkIndex
	via  netip.Addr // the destination if there is no gateway
}

// newKernelFIB makes programs for a number of flows, a power of two. They look up in
// the namespace of the thread that runs them.
func newKernelFIB(n int) (*kernelFIB, error) {
	k := &kernelFIB{n: n}
	array := func(size, entries int) (*ebpf.Map, error) {
		return ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(size), MaxEntries: uint32(entries)})
	}
	var err error
	join := func(e error) { err = errors.Join(err, e) }
	var e error
	k.flows, e = array(paramSize, n)
	join(e)
	k.answers, e = array(answerSize, n)
	join(e)
	k.turn, e = array(8, 1)
	join(e)
	if err == nil {
		k.lookup, e = k.program(true)
		join(e)
		k.empty, e = k.program(false)
		join(e)
	}
	if err != nil {
		k.Close()
		return nil, fmt.Errorf("ask the kernel by BPF: %w", err)
	}
	return k, nil
}

// Close gives the programs back.
func (k *kernelFIB) Close() {
	for _, m := range []*ebpf.Map{k.flows, k.answers, k.turn} {
		if m != nil {
			m.Close()
		}
	}
	for _, p := range []*ebpf.Program{k.lookup, k.empty} {
		if p != nil {
			p.Close()
		}
	}
}

// program takes the next flow, looks it up and writes down the answer; without the
// lookup it does all the rest, which is subtracted.
func (k *kernelFIB) program(lookup bool) (*ebpf.Program, error) {
	const params = -80 // on the stack
	find := func(m *ebpf.Map, key int32) asm.Instructions {
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, key),
			asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "out"),
		}
	}
	var p asm.Instructions
	add := func(more ...asm.Instruction) { p = append(p, more...) }
	add(asm.Mov.Reg(asm.R6, asm.R1), asm.StoreImm(asm.R10, -4, 0, asm.Word))
	add(find(k.turn, -4)...)
	add(asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord), asm.Mov.Reg(asm.R8, asm.R7), asm.Add.Imm(asm.R8, 1),
		asm.And.Imm(asm.R8, int32(k.n-1)), asm.StoreMem(asm.R0, 0, asm.R8, asm.DWord), asm.StoreMem(asm.R10, -8, asm.R7, asm.Word))
	add(find(k.flows, -8)...)
	for o := int16(0); o < paramSize; o += 8 {
		add(asm.LoadMem(asm.R1, asm.R0, o, asm.DWord), asm.StoreMem(asm.R10, params+o, asm.R1, asm.DWord))
	}
	add(asm.Mov.Imm(asm.R8, 0))
	if lookup {
		add(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, params), asm.Mov.Imm(asm.R3, paramSize),
			asm.Mov.Imm(asm.R4, skipNeigh|withMark), asm.FnFibLookup.Call(), asm.Mov.Reg(asm.R8, asm.R0))
	}
	add(find(k.answers, -8)...)
	add(asm.StoreMem(asm.R0, 0, asm.R8, asm.Word), asm.LoadMem(asm.R1, asm.R10, params+atIfIndex, asm.Word), asm.StoreMem(asm.R0, 4, asm.R1, asm.Word))
	for o := int16(0); o < 16; o += 8 {
		add(asm.LoadMem(asm.R1, asm.R10, params+atDst+o, asm.DWord), asm.StoreMem(asm.R0, 8+o, asm.R1, asm.DWord))
	}
	add(asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return())
	return ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: p, License: "GPL"})
}

// put says which flows are asked about. All come in by one interface.
func (k *kernelFIB) put(flows []rpdb.Flow, in rpdb.LinkIndex) error {
	for i, f := range flows {
		var b [paramSize]byte
		b[0], b[1] = unix.AF_INET, byte(f.IPProto)
		if f.Family() == rpdb.IPv6 {
			b[0] = unix.AF_INET6
		}
		binary.BigEndian.PutUint16(b[2:], f.SPort)
		binary.BigEndian.PutUint16(b[4:], f.DPort)
		binary.NativeEndian.PutUint32(b[atIfIndex:], uint32(in))
		copy(b[atSrc:], f.Src.AsSlice())
		copy(b[atDst:], f.Dst.AsSlice())
		binary.NativeEndian.PutUint32(b[atMark:], f.Mark)
		if err := k.flows.Put(uint32(i), b[:]); err != nil {
			return fmt.Errorf("ask the kernel by BPF: %w", err)
		}
	}
	return k.turn.Put(uint32(0), uint64(0))
}

// time looks all flows up, a number of times, and returns how long one takes in
// seconds. It runs in the namespace of the calling thread.
func (k *kernelFIB) time(times int) (float64, error) {
	var took [2]time.Duration
	for i, p := range []*ebpf.Program{k.empty, k.lookup} {
		_, each, err := p.Benchmark(packet(), k.n*times, nil)
		if err != nil {
			return 0, fmt.Errorf("ask the kernel by BPF: %w", err)
		}
		took[i] = each
	}
	return max(took[1]-took[0], 1).Seconds(), nil
}

// packet is what a test run wants to see: an Ethernet frame of IPv4. The lookup does
// not look at it.
func packet() []byte { return append([]byte{12: 8, 13: 0}, make([]byte, 50)...) }

// answer returns what the kernel said about a flow when it was last asked.
func (k *kernelFIB) answer(i int, f rpdb.Family) (kernelAnswer, error) {
	var b [answerSize]byte
	if err := k.answers.Lookup(uint32(i), b[:]); err != nil {
		return kernelAnswer{}, fmt.Errorf("ask the kernel by BPF: %w", err)
	}
	a := kernelAnswer{code: binary.NativeEndian.Uint32(b[:]), link: rpdb.LinkIndex(binary.NativeEndian.Uint32(b[4:]))}
	a.via, _ = netip.AddrFromSlice(b[8 : 8+f.Bits()/8])
	return a, nil
}
