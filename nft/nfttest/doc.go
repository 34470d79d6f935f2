// Package nfttest has nf_tables in memory, as far as package nft goes, for tests
// of what stands on it. It and the real one pass the same suite ([Conformance]).
package nfttest
