// Package nat reports rules whose action the kernel no longer knows.
//
// Rules once translated addresses ("nat ADDRESS"). Linux has forgotten how: the
// rule is still accepted, ip lists it as "masquerade", and every packet that
// matches it is dropped without a word; a local sender gets EINVAL. The same
// holds for every other action number without a meaning, "throw" among them.
// Translation is the business of nftables. "rpdb rule add ... nat ADDRESS" makes a
// rule that translates there, and so does a rule of a policy with the key nat (rpdb
// apply); such a rule looks a table up and is not reported.
package nat
