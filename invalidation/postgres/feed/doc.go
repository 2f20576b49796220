// Package feed makes copies unusable when rows of a PostgreSQL database change. Triggers write a row into cacheproxy.outbox in the
// transaction of each change; a Feed reads the rows, has the log of invalidations make unusable what they name, and deletes them.
//
// # The invariant
//
// A row of the outbox is deleted only after an invalidation.Log has said that what it names holds for every request, on every
// instance. What keeps it:
//
//   - A row is seen only when its change can be read: both come into sight with one commit. A fetch that begins after the purge
//     reads the change. A row of a transaction that is rolled back is never seen.
//   - A row is read, purged until it holds, and deleted by its key, in this order, and no transaction is open meanwhile. Who dies or
//     freezes in between leaves the row: whoever looks next purges it once more. Twice does no harm.
//   - There is no watermark. A transaction may take a low number, and commit after a high one was consumed; see look.go for how
//     such rows are found without reading what is dead.
//   - What cannot be understood purges the whole of its mapping, or of its table, and what names none of ours purges everything.
//     It is reported, and deleted like any other row, so that it comes back no more than once.
//
// # Who consumes
//
// Every instance looks. The one that is preferred consumes what it finds at once; the others leave rows alone that are younger than
// their patience, since somebody else is about to delete them, and consume what is older: so that an instance which has died, is frozen,
// or cannot reach the database stops nobody. There is no claim in the database: a session's lock does not survive a pooler that hands
// out connections by the transaction, a row that is updated leaves a dead one for each update, and a transaction that holds a lock
// would be open during the purge.
//
// Whoever has just written through this instance has changed rows, too: Woken looks at once and consumes what it finds, so that the
// echo of a write falls into the time in which the write itself is confirmed, and does not cost the copy that is fetched next.
//
// # Owed
//
// Where nobody consumes, triggers stop writing rows, and owe the tag of the table instead. See owed.go for why that loses nothing.
//
// # Files
//
//	feed.go        what a feed is made of
//	session.go     one look after another over one connection
//	connection.go  how the database is reached
//	look.go        which rows have come into sight
//	consume.go     what rows name; purge, then delete
//	owed.go        tags that are owed for changes without a row
//	missing.go     of which tables nothing tells
//	hint.go        NOTIFY, which only makes the next look come sooner
//	sight.go       how far behind it is, and from when on it is blind
package feed
