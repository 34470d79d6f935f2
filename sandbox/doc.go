// Package sandbox builds a throw-away host in network namespaces and sends
// real packets through it, so that a routing policy can be rehearsed where
// nothing can be harmed.
//
// [Enter] moves the program into namespaces of its own. [Build] then makes, in
// them, the interfaces that a policy names, a gateway behind each uplink that
// drops sources that are not its own (BCP 38) as real providers do, and an
// outside world with addresses in both families:
//
//	host ---- uplink ---- gateway ---- outside
//	  \------ uplink ---- gateway ------/
//	   \----- tunnel ---- peer --------/
//	    \---- cable ----- inside host
//
// A [Probe] is one question put to that world in real packets: from outside to
// an address of the host, or from the host to the outside, or the same of an
// inside host for which the host forwards. Its [Outcome] says whether an answer
// came and by which uplink the host's packets left, counted at the gateways; its
// [Probe.Flow] is the same question for the engine.
//
// Nothing is mounted, named or written to disk. The namespaces hang on the
// process and its descriptors only, so the kernel removes everything when the
// process ends, however it ends. No other program is used. Root may do it, and
// so may an ordinary user where the kernel allows unprivileged user
// namespaces. The package is for Linux only.
package sandbox
