// Package iptext reads what people send who cannot run this program on the host
// in question: the output of ip(8) commands, one behind the other in one text,
// as in support bundles. With or without -d, -s and -o, as text or as JSON,
// with or without the command lines, prompts and headings between them.
//
// [Split] cuts such a text into the listings of the commands, and says of each
// what it lists and where it stands. The listings of interfaces, addresses,
// neighbours and settings are read here as well ([Section.Links] and so on).
// Rules, routes and nexthop objects are left to package iproute2, which has
// their words, and their JSON to package ipjson.
//
// What is not understood is an error that names the place ([Error]), unless a
// prompt shows that another program printed it: a listing that was cut off or damaged must not pass for a whole one. Nothing is looked
// up and nothing is assumed; what the text leaves open is for the caller to say.
//
// The package is pure. Its functions are safe for concurrent use.
package iptext
