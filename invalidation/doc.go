// Package invalidation makes copies unusable: by a purge, by a write, by anything that names a member of a copy.
//
// Every entry that makes copies unusable stands in one ordered Log. A Ledger mirrors the log in memory: for each
// member the position of the member's last invalidation. Every caller keeps four rules:
//
//   - Token (R1). The caller takes Ledger.Token before a request goes to the origin.
//   - Store and use (R2, R3). A copy carries the token as its Stamp. The copy may be stored only if Ledger.Admits the
//     token for all members of the copy. The caller asks Admits when the last byte is there, so that tags count which
//     only the response names. The copy may be used only while Ledger.Check finds the copy Valid.
//   - Join (R4). A request that arrived at position p may share a fetch with token t only if no relevant member was
//     invalidated between t and p.
//   - Acknowledge (R13). Log.Invalidate returns without an error when the entry holds for every later request.
//
// The rules prevent the following race. A fetch reads the origin. The origin changes, and a purge is acknowledged.
// The response of the fetch arrives, and is older than the purge. The token of the fetch is older too, and the mark
// that the purge has set refuses the copy, at once and later.
//
// A write takes a Fence around the origin's work (R15). From Begin to End no instance uses or stores copies with the
// members of the fence, and a request that arrives meanwhile shares no fetch that was sent before the request
// arrived. So once a reader has seen the new state of the origin, no later reader gets the old one. This holds also
// before the write is acknowledged, and when the write is never acknowledged.
//
// Local is the log of a process that runs alone. Package fleet is the protocol by which several instances follow one
// log. The comment of fleet holds all rules, and says what goes wrong without each. Package valkey carries that log.
// A feed of invalidations from elsewhere, such as the changes of a database, is a package of its own in this folder,
// and calls Log.Invalidate like a purge.
//
//	ledger.go, id.go     for each member, the position of its last invalidation
//	recent.go            the last marks in their order, for copies with many members
//	crowd.go             which names may have a mark of their own
//	seen.go              which names copies have carried lately, as a hint for people
//	stamp.go             when a copy was fetched, and up to where the copy is checked already
//	entry.go, record.go  an entry of the log, and how it is written
//	log.go, local.go     the log, and the log of a process that runs alone
//	fence.go             around a write
//	lease.go             until when a ledger may be trusted
//
// Invalidating costs one map write for each member named, however many copies carry the member; there is no index of
// copies. Checking a copy costs two atomic loads as long as nothing was invalidated since the copy was last checked.
package invalidation
