package iproute2

import (
	"encoding/binary"
	hexbytes "encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rpdb"
)

// tunnelWords writes the lightweight tunnel of a nexthop in the words that
// make it. What ip has no words for is left out: programs of BPF, attributes
// that it does not set.
func (v RouteView) tunnelWords(w *words, n rpdb.Nexthop) {
	t := tunnelWriter{words: w, view: v}
	t.attrs.read(n.Encap)
	write := map[uint16]func(){
		encapMPLS: t.mpls, encapIP: t.ip, encapILA: t.ila, encapIP6: t.ip6, encapSeg6: t.seg6, encapBPF: t.bpf,
		encapSeg6Local: t.seg6Local, encapRPL: t.rpl, encapIOAM6: t.ioam6, encapXfrm: t.xfrm,
	}[n.EncapType]
	if write == nil {
		return
	}
	w.add("encap", encapKinds[n.EncapType].word)
	write()
}

// tunnelWriter writes one tunnel.
type tunnelWriter struct {
	*words
	view  RouteView
	attrs attributes
}

// number writes a keyword and an attribute of one or four bytes.
func (t *tunnelWriter) number(key string, typ uint16) {
	b, _ := t.attrs.get(typ)
	switch len(b) {
	case 1:
		t.addf(key, "%d", b[0])
	case 4:
		t.addf(key, "%d", native32(b))
	}
}

// address writes a keyword and an address.
func (t *tunnelWriter) address(key string, typ uint16) {
	b, _ := t.attrs.get(typ)
	if a, ok := netip.AddrFromSlice([]byte(b)); ok {
		t.add(key, a.String())
	}
}

// link writes a keyword and an interface.
func (t *tunnelWriter) link(key string, typ uint16) {
	if i, ok := t.attrs.uint32(typ); ok {
		t.add(key, quote(t.view.link(rpdb.LinkIndex(i))))
	}
}

// table writes a keyword and a routing table.
func (t *tunnelWriter) table(key string, typ uint16) {
	if n, ok := t.attrs.uint32(typ); ok {
		t.add(key, tableWord(rpdb.TableID(n), t.view.Names))
	}
}

// word writes a keyword and the word of a byte.
func (t *tunnelWriter) word(key string, typ uint16, list []string) {
	if n, ok := t.attrs.uint8(typ); ok && int(n) < len(list) && list[n] != "" {
		t.add(key, list[n])
	}
}

func (t *tunnelWriter) mpls() {
	b, _ := t.attrs.get(mplsDst)
	var labels []string
	for ; len(b) >= 4; b = b[4:] {
		labels = append(labels, strconv.Itoa(int(binary.BigEndian.Uint32([]byte(b[:4]))>>(32-labelBits))))
	}
	t.add(strings.Join(labels, "/"))
	t.number("ttl", mplsTTL)
}

func (t *tunnelWriter) ip() { t.tunnel("tos", "ttl") }

func (t *tunnelWriter) ip6() { t.tunnel("tc", "hoplimit") }

func (t *tunnelWriter) tunnel(tos, ttl string) {
	if id, ok := t.attrs.big(tunnelID, 8); ok {
		t.addf("id", "%d", id)
	}
	t.address("dst", tunnelDst)
	t.address("src", tunnelSrc)
	if b, ok := t.attrs.uint8(tunnelTOS); ok {
		t.addf(tos, "0x%02x", b)
	}
	t.number(ttl, tunnelTTL)
	flags, _ := t.attrs.big(tunnelFlags, 2)
	for _, f := range []struct {
		bit  uint64
		word string
	}{{tunnelKey, "key"}, {tunnelCsum, "csum"}, {tunnelSeq, "seq"}} {
		if flags&f.bit != 0 {
			t.add(f.word)
		}
	}
	if b, ok := t.attrs.get(tunnelOptions); ok {
		t.options(rpdb.Raw(b))
	}
}

// options writes what a packet of the tunnel carries besides.
func (t *tunnelWriter) options(b rpdb.Raw) {
	var geneve []string
	for rest := string(b); ; {
		typ, value, next, ok := nextAttribute(rest)
		if !ok {
			break
		}
		rest = next
		var one attributes
		one.read(rpdb.Raw(value))
		switch typ {
		case optsGeneve:
			geneve = append(geneve, geneveWord(one))
		case optsVXLAN:
			if gbp, ok := one.uint32(1); ok {
				t.addf("vxlan_opts", "%d", gbp)
			}
		case optsERSPAN:
			t.add("erspan_opts", erspanWord(one))
		}
	}
	if len(geneve) > 0 {
		t.add("geneve_opts", strings.Join(geneve, ","))
	}
}

func geneveWord(a attributes) string {
	class, typ := "", ""
	if n, ok := a.big(1, 2); ok {
		class = strconv.FormatUint(n, 10)
	}
	if n, ok := a.uint8(2); ok {
		typ = strconv.Itoa(int(n))
	}
	data, _ := a.get(3)
	return class + ":" + typ + ":" + hexbytes.EncodeToString([]byte(data))
}

func erspanWord(a attributes) string {
	var parts []string
	for typ := uint16(1); typ <= 4; typ++ {
		b, ok := a.get(typ)
		n, isIndex := a.big(typ, 4)
		switch {
		case !ok:
			parts = append(parts, "")
		case isIndex:
			parts = append(parts, strconv.FormatUint(n, 10))
		default:
			parts = append(parts, strconv.Itoa(int(firstByte(b))))
		}
	}
	return strings.Join(parts, ":")
}

func (t *tunnelWriter) ila() {
	b, _ := t.attrs.get(ilaLocatorAttribute)
	var parts []string
	for ; len(b) >= 2; b = b[2:] {
		parts = append(parts, strconv.FormatUint(uint64(binary.BigEndian.Uint16([]byte(b[:2]))), 16))
	}
	t.add(strings.Join(parts, ":"))
	t.word("csum-mode", ilaCsumMode, ilaCsumModes)
	t.word("ident-type", ilaIdentType, ilaTypedIdents)
	t.word("hook-type", ilaHookType, ilaHookTypes)
}

func (t *tunnelWriter) seg6() {
	b, _ := t.attrs.get(seg6SRH)
	if len(b) < seg6Mode+srhHeader {
		return
	}
	mode := native32(b)
	if mode < uint32(len(seg6ModeWords)) {
		t.add("mode", seg6ModeWords[mode])
	}
	t.segments(b[seg6Mode:], mode != seg6Inline)
}

// segments writes a segment routing header. One that is inserted has room for
// the packet's own destination in the first place, which is the last segment.
func (t *tunnelWriter) segments(header string, encapsulates bool) {
	first := 0
	if !encapsulates {
		first = 1
	}
	t.add("segs", segmentList(header[srhHeader:], int(header[4]), first))
	size := (int(header[1]) + 1) * 8
	if header[5]&srhFlagHMAC != 0 && size <= len(header) && size >= srhHeader+hmacSize {
		t.addf("hmac", "%d", binary.BigEndian.Uint32([]byte(header[size-hmacSize+4:])))
	}
}

// segmentList writes the segments from the last place to the first.
func segmentList(b string, last, first int) string {
	var list []string
	for i := min(last, len(b)/segmentSize-1); i >= first; i-- {
		list = append(list, netip.AddrFrom16([16]byte([]byte(b[i*segmentSize:][:segmentSize]))).String())
	}
	return strings.Join(list, ",")
}

func (t *tunnelWriter) rpl() {
	b, _ := t.attrs.get(rplSRH)
	if len(b) >= srhHeader {
		t.add("segs", segmentList(b[srhHeader:], int(b[3])-1, 0))
	}
}

func (t *tunnelWriter) seg6Local() {
	action, _ := t.attrs.uint32(localAction)
	if action < uint32(len(localActions)) && localActions[action] != "" {
		t.add("action", localActions[action])
	}
	if b, ok := t.attrs.get(localSRH); ok && len(b) >= srhHeader {
		t.add("srh")
		t.segments(b, action < uint32(len(localActions)) && localActions[action] == b6Encaps)
	}
	t.table("table", localTable)
	t.table("vrftable", localVRFTable)
	t.address("nh4", localNH4)
	t.address("nh6", localNH6)
	t.link("iif", localIIF)
	t.link("oif", localOIF)
	if _, ok := t.attrs.get(localCounters); ok {
		t.add("count")
	}
	if b, ok := t.attrs.get(localFlavors); ok {
		t.flavors(rpdb.Raw(b))
	}
}

func (t *tunnelWriter) flavors(b rpdb.Raw) {
	var f tunnelWriter
	f.attrs.read(b)
	f.words = t.words
	bits, _ := f.attrs.uint32(flavorOperation)
	var list []string
	for i, name := range flavors {
		if name != "" && bits&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	t.add("flavors", strings.Join(list, ","))
	f.number("lblen", flavorBlockBits)
	f.number("nflen", flavorFunctionBits)
}

func (t *tunnelWriter) ioam6() {
	k, _ := t.attrs.uint32(ioam6FreqK)
	n, _ := t.attrs.uint32(ioam6FreqN)
	t.add("freq", fmt.Sprintf("%d/%d", k, n))
	t.word("mode", ioam6Mode, ioam6ModeWords)
	t.address("tunsrc", ioam6Src)
	t.address("tundst", ioam6Dst)
	b, _ := t.attrs.get(ioam6Trace)
	const head = 8
	if len(b) < head {
		return
	}
	typ := binary.BigEndian.Uint32([]byte(b[4:])) >> 8
	t.add("trace", "prealloc")
	t.addf("type", "%#x", typ)
	t.addf("ns", "%d", binary.BigEndian.Uint16([]byte(b)))
	t.addf("size", "%d", int(b[3])*4)
}

func (t *tunnelWriter) bpf() { t.number("headroom", bpfHeadroom) }

func (t *tunnelWriter) xfrm() {
	t.number("if_id", xfrmIfID)
	t.link("link_dev", xfrmLink)
}
