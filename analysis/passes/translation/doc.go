// Package translation reports translations that do not do what they say.
//
// The rules of nftables that translate know their packets by the realm of a copy
// of a table that a rule looks up, and those of IPv6 by a program that its routes
// carry. That goes wrong where
//
//   - the copy of a rule made by hand ("rpdb rule add ... nat") has fallen behind
//     its table, or nftables has lost the translation or its way in;
//   - that rule is gone, by other means than "rpdb rule del", and its map of packets
//     that come in is not;
//   - rules or routes of others carry a realm of ours: their packets have it too, in
//     either half, as the realm of the source becomes that of the destination where
//     the way back to the sender has it;
//   - a route carries a program of ours and is in another table than the program is of;
//   - the host forwards nothing, and so translates nothing;
//   - an address of this host lies in a block that is mapped: packets for it go to
//     the inside.
//
// What a policy has besides is for "rpdb status" to compare.
package translation
