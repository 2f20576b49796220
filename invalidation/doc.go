// Package invalidation makes copies unusable: by purge, by write, by anything that names a member of a copy.
//
// There is one mechanism. Everything that makes copies unusable is an entry in one ordered Log. A Ledger mirrors the log
// in memory: for each member the position of its last invalidation. Four rules follow, and every caller keeps them:
//
//   - Token (R1). Before a request goes to the origin, take Ledger.Token.
//   - Store and use (R2, R3). A copy carries the token as its Stamp. The copy may be stored only while Ledger.Admits the token for
//     all of its members, when the last byte is there, so that tags known only from the response count; and used only while
//     Ledger.Check finds it Valid.
//   - Join (R4). A request that arrived at position p may share a fetch with token t only if nothing relevant was
//     invalidated between t and p.
//   - Acknowledge (R13). Log.Invalidate returns without an error when the entry holds for every later request.
//
// The race that the rules are for: a fetch reads the origin; the origin changes and a purge is acknowledged; the response arrives,
// and is older than the purge. Its token is older too, and the mark that the purge has set refuses the copy, now and later.
//
// A write takes a Fence around the origin's work (R15): from Begin to End copies with its members are neither used nor stored, on any
// instance, and a request that arrives meanwhile shares no fetch that was sent before it. So who has read what the write has put there
// is followed by nobody who reads what was there before, also before the write is acknowledged, and when it never is.
//
// Local is the log of a process that runs alone. Package fleet is the protocol by which several instances follow one log; its
// comment holds all rules, and says what goes wrong without each. Package valkey carries that log. What feeds invalidations from
// elsewhere, such as the changes of a database, is a package of its own
// in this folder, and calls Log.Invalidate like a purge.
//
//	ledger.go, id.go     for each member, the position of its last invalidation
//	crowd.go             which names may have a mark of their own
//	stamp.go             when a copy was fetched, and whether that is checked already
//	entry.go, record.go  an entry of the log, and how it is written
//	log.go, local.go     the log, and that of a process that runs alone
//	fence.go             around a write
//	lease.go             until when a ledger may be trusted
//
// Invalidating costs one map write for each member named, however many copies carry it; there is no index of copies.
// Checking a copy costs two atomic loads as long as nothing was invalidated since it was last checked.
package invalidation
