// Package invalidation makes copies unusable: by purge, by write, by anything that names a member of a copy.
//
// There is one mechanism. Everything that makes copies unusable is an entry in one ordered Log. A Ledger mirrors the log
// in memory: for each member the position of its last invalidation. Four rules follow, and every caller keeps them:
//
//   - Token. Before a request goes to the origin, take Ledger.Token.
//   - Store and use. A copy carries the token as its Stamp. It may be stored only while Ledger.Admits the token for all
//     of its members, which is asked when the last byte is there, so that tags known only from the response count; and
//     it is used only while Ledger.Check finds it Valid.
//   - Join. A request that arrived at position p may share a fetch with token t only if nothing relevant was
//     invalidated between t and p.
//   - Acknowledge. Log.Invalidate returns without an error when the entry holds for every later request.
//
// A write takes a Fence around the origin's work: from Begin to End its members are neither used nor stored.
//
// Local is the log of a process that runs alone. Package fleet is the protocol by which several instances follow one.
//
// Invalidating costs one map write for each member named, however many copies carry it; there is no index of copies.
// Checking a copy costs two atomic loads as long as nothing was invalidated since it was last checked.
package invalidation
