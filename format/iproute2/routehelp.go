package iproute2

// RouteHelp returns the usage text of "ip route", which ip prints to stderr.
// It names every word of the grammar.
func RouteHelp() string { return routeUsage }

// routeUsage does not come from the table of options: the options print it.
const routeUsage = `Usage: ip route { list | flush | save } SELECTOR
       ip route { restore | showdump }
       ip route get [ GET_FLAGS ] [ to ] ADDRESS
                    [ from ADDRESS ] [ iif STRING ] [ oif STRING ] [ vrf NAME ]
                    [ tos TOS ] [ mark NUMBER ] [ uid NUMBER ] [ as ADDRESS ]
                    [ ipproto PROTOCOL ] [ sport NUMBER ] [ dport NUMBER ]
                    [ flowlabel FLOWLABEL ]
       ip route { add | del | change | append | prepend | replace | test } ROUTE
SELECTOR := [ MATCH PREFIX ] [ from MATCH PREFIX ] [ table TABLE_ID ]
            [ vrf NAME ] [ proto RTPROTO ] [ type TYPE ] [ scope SCOPE ]
            [ dev STRING ] [ iif STRING ] [ via [ FAMILY ] PREFIX ]
            [ src PREFIX ] [ metric METRIC ] [ tos TOS ] [ mark NUMBER ]
            [ realms REALM ] [ cached ]
MATCH := [ root | match | exact ]
ROUTE := NODE_SPEC [ INFO_SPEC ]
NODE_SPEC := [ TYPE ] PREFIX [ from PREFIX ] [ tos TOS ]
             [ table TABLE_ID ] [ vrf NAME ] [ proto RTPROTO ]
             [ scope SCOPE ] [ metric METRIC ]
             [ ttl-propagate { enabled | disabled } ]
INFO_SPEC := { NH | nhid ID } OPTIONS FLAGS [ nexthop NH ]...
NH := [ encap ENCAPTYPE ENCAPHDR ] [ via [ FAMILY ] ADDRESS ]
      [ dev STRING ] [ weight NUMBER ] [ realms REALM ]
      [ as [ to ] ADDRESS ] NHFLAGS
FAMILY := [ inet | inet6 | mpls | bridge | link ]
OPTIONS := FLAGS [ mtu [ lock ] NUMBER ] [ advmss [ lock ] NUMBER ]
           [ as [ to ] ADDRESS ] [ src ADDRESS ] [ realms REALM ]
           [ rtt TIME ] [ rttvar TIME ] [ rto_min TIME ]
           [ reordering NUMBER ] [ window NUMBER ] [ hoplimit NUMBER ]
           [ cwnd NUMBER ] [ initcwnd NUMBER ] [ initrwnd NUMBER ]
           [ ssthresh NUMBER ] [ features FEATURES ] [ quickack BOOL ]
           [ congctl NAME ] [ fastopen_no_cookie BOOL ]
           [ pref PREF ] [ expires TIME ]
TYPE := { unicast | local | broadcast | multicast | anycast | throw |
          unreachable | prohibit | blackhole | nat }
TABLE_ID := [ local | main | default | all | NUMBER ]
SCOPE := [ host | link | global | NUMBER ]
NHFLAGS := [ onlink ]
RTPROTO := [ kernel | boot | static | NUMBER ]
PREF := [ low | medium | high ]
TIME := NUMBER[s|ms]
BOOL := [1|0]
FEATURES := [ ecn | tcp_usec_ts ]
ENCAPTYPE := [ mpls | ip | ip6 | ila | seg6 | seg6local | rpl | ioam6 | xfrm ]
ENCAPHDR := [ MPLSHDR | IPHDR | ILAHDR | SEG6HDR | SEG6LOCAL | RPLHDR |
              IOAM6HDR | XFRMINFO ]
MPLSHDR := LABEL[/LABEL]... [ ttl TTL ]
IPHDR := [ id NUMBER ] [ dst ADDRESS ] [ src ADDRESS ]
         [ tos TOS ] [ ttl TTL ] [ tc TOS ] [ hoplimit TTL ]
         [ key ] [ csum ] [ seq ]
         [ geneve_opts OPTS | vxlan_opts OPTS | erspan_opts OPTS ]
ILAHDR := LOCATOR [ csum-mode MODE ] [ ident-type TYPE ] [ hook-type TYPE ]
SEG6HDR := mode SEGMODE segs ADDR1,ADDRi,ADDRn [ hmac KEYID ]
SEGMODE := [ encap | encap.red | inline | l2encap | l2encap.red ]
SEG6LOCAL := action ACTION [ SEG6OPTION ]... [ count ]
ACTION := { End | End.X | End.T | End.DX2 | End.DX6 | End.DX4 |
            End.DT6 | End.DT4 | End.DT46 | End.B6 | End.B6.Encaps |
            End.BM | End.S | End.AS | End.AM }
SEG6OPTION := { flavors FLAVOR[,FLAVOR]... [ lblen NUMBER ] [ nflen NUMBER ] |
                srh segs ADDR1,ADDRn [ hmac KEYID ] | nh4 ADDRESS |
                nh6 ADDRESS | iif STRING | oif STRING | table TABLE_ID |
                vrftable TABLE_ID }
FLAVOR := { psp | usp | usd | next-csid }
RPLHDR := segs ADDR1,ADDRi,ADDRn
IOAM6HDR := [ freq K/N ] [ mode { inline | encap | auto } ]
            [ tunsrc ADDRESS ] [ tundst ADDRESS ]
            trace prealloc type NUMBER ns NUMBER size NUMBER
XFRMINFO := if_id NUMBER [ link_dev STRING ]
GET_FLAGS := [ connected | fibmatch | notify ]
`
