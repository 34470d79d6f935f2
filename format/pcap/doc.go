// Package pcap reads captures of packets, as tcpdump, dumpcap and Wireshark
// write them, and says what the routing code of Linux sees of each packet.
//
// [Reader] takes the classic format (both byte orders, with microseconds or
// nanoseconds) and pcapng (several sections and interfaces), one packet at a
// time and in constant memory. [Packet.Frame] takes off what the link layer put
// around a packet, and finds the direction where the capture tells it.
// [Frame.IP] reads the headers as far as the kernel dissects them for the
// rules, and [IP.Input] and [IP.Output] make the [rpdb.Flow] of a packet that
// came in, and of one that this host sent.
//
// Times are not read: no decision depends on them.
package pcap
