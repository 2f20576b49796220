// Package store keeps responses. The tiers are asked in order, the nearest first; the first is this process's memory, and it is
// the only one that a request reads before it joins a flight.
//
// What is kept under a storage key is an Item: a Copy (one response), Variants (the request header fields that select
// among several copies, RFC 9111 §4.1), or, under the key of a question, a Mark (the last answer to it could not be shared, so
// those who ask it do not wait for each other: hit-for-miss). Copies of a URL that what clients prefer tells apart have keys of their own, which preferred.go lists. Copies are immutable once stored; whether one may be used is asked of the ledger, not
// of the store, so nothing has to be found and removed when something is purged.
//
// # References
//
// A copy is a handle to the bytes of its body, which need not be Go's to collect. So references to copies are counted:
//
//   - Who owns. Whoever gets a copy or parts from this package has a reference to them: by making one (NewCopy, NewCoded, WithHeader,
//     Restore, NewParts), by a look-up (Found.Copy, Parts), or from a Tier. Hold adds one for another goroutine, or for longer. Each
//     key under which a copy is stored has one of its own; passing a copy to a Store leaves the caller's where it is.
//   - Who gives back. Whoever has a reference calls Release once, on every way out. A second time panics: it would take the bytes
//     from a reader.
//   - Who reads. Body and Parts.Bytes are views, valid from when the reference is taken until it is given back. What is to be kept
//     longer is cloned. Nobody writes to them.
//   - All else of a copy (Head, header fields, Life, Members, Digest, Use) is Go's, and may be kept. A server may write an answer's
//     header after its handler has returned, as net/http does with those that fit into its buffer; it has copied or sent the bytes
//     of a body when Write returns.
//   - A copy that is stored nowhere and that nobody has is free. With the last copy of a body, the body is.
package store
