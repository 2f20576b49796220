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
// A copy is a handle to bytes that are not Go's to collect. So references to copies are counted:
//
//   - Who owns. Whoever gets a copy or parts from this package has a reference to them: by making one (NewCopy, NewCoded, WithHeader,
//     Restore, NewParts), by a look-up (Found.Copy, Parts), or from a Tier. Hold adds one for another goroutine, or for longer. Each
//     key under which a copy is stored has one of its own; passing a copy to a Store leaves the caller's where it is.
//   - Who gives back. Whoever has a reference calls Release once, on every way out. A second time panics: it would take the bytes
//     from a reader.
//   - What is valid for how long. All of a copy, its fields and what its methods give as a view (Head, Get, AppendValues, Asked, Members,
//     Body), and Parts.Bytes, from when the reference is taken until it is given back. What is to be kept longer is cloned. Nobody writes
//     to views. Header, Values and CopyHeaderAnd give what is the caller's to keep: a server may write the header of an answer after its
//     handler has returned, as net/http does with those that fit into its buffer. It has copied or sent the bytes of a body when Write
//     returns.
//   - A copy that is stored nowhere and that nobody has is free. With the last copy of a body, the body is.
//
// # Memory
//
// A copy is made in Go's memory. What a Store is given it packs: into one block of a slab.Heap, with its key (packed), but for what it has in
// common with the others of its folder or host, which stands once (family). The copy that the
// caller has and the one that look-ups find are two, of which each has the other's serial number. What is packed has no pointers: blocks lead
// to each other by slab.Ref, half as long, and say the numbers of what is in Go's memory. So the collector neither looks at copies nor doubles them: a table without such pointers finds them (table),
// and says what is counted. A block leaves the table when its copy is replaced, let go of or removed, and is given back with the last
// reference: what a slow client holds counts until then, and others make room for it. Tests have every block overwritten that is free
// (Watch): who uses a copy without a reference then reads something else, or crashes.
package store
