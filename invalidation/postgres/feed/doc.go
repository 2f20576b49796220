// Package feed makes copies unusable when rows of a PostgreSQL database change. Triggers write a row into
// cacheproxy.outbox in the transaction of each change. A Feed reads the rows, has the log of invalidations make
// unusable what the rows name, and deletes the rows. Alternatively, a replication slot tells of the changes from the
// write-ahead log: see below.
//
// # The invariant
//
// A Feed deletes a row of the outbox only after an invalidation.Log has said that what the row names holds for every
// request, on every instance. The invariant rests on these points:
//
//   - A look sees a row only when its change can be read: one commit makes both visible. A fetch that begins after the
//     purge reads the change. A row of a transaction that is rolled back is never seen.
//   - The order is: read a row, purge until the purge holds, delete the row by its key. No transaction is open
//     meanwhile. An instance that dies or freezes in between leaves the row, and the next look purges the row once
//     more. A second purge does no harm.
//   - The outbox has no watermark. A transaction may take a low number, and commit after a higher number was consumed.
//     See look.go for how a look finds such rows without reading dead ones.
//   - A row that cannot be understood purges the whole of its mapping, or of its table. A row that names no table
//     purges everything. Such a row is reported, and deleted like any other row, so that it comes back no more than
//     once.
//
// # Who consumes
//
// Every instance looks. The preferred instance consumes at once what a look finds. The other instances leave younger
// rows alone, since the preferred instance is about to delete them, and consume rows that are older than their
// patience. So an instance that has died, is frozen, or cannot reach the database stops nobody. The database holds no
// claim, for three reasons. The lock of a session does not survive a pooler that hands out connections by the
// transaction. A row that is updated leaves a dead row for each update. A transaction that holds a lock would be open
// during the purge.
//
// Instances that share no log of invalidations must not share a feed. An instance that is alone notices another
// consumer, and is blind as long as the other is there: see shared.go.
//
// A client that has just written through this instance has changed rows, too. So Woken looks at once and consumes what
// the look finds. The echo of a write then falls into the time in which the write itself is confirmed, and does not
// cost the copy that is fetched next.
//
// # Owed
//
// While nobody consumes, triggers stop writing rows, and owe the tag of the table instead. See owed.go for why no
// change is lost.
//
// # The slot
//
// With Config.Logical, a change of a row writes nothing beyond its own record in the write-ahead log. A look peeks at
// the pending changes of a logical replication slot (pgoutput), purges what their transactions name until the purge
// holds, and advances the slot to the end of the last transaction. All of this is SQL, over a connection like any
// other. The invariant rests on these points:
//
//   - Visible. Decoding shows a commit when the commit is in the log. Other sessions see the commit later: after the
//     wait for a standby, if a standby is waited for. After a purge in between, a fetch could read the old data and
//     store the data as if they were new. So a transaction is purged only when a snapshot that was taken after the peek
//     shows the transaction. Until then, a look passes over the transaction, and the slot is not advanced over it. Two
//     purges, one at once and one later, would be correct as well, and cost every copy twice.
//   - Peeked, and not taken. A look leaves the changes in the slot. The slot is advanced only to the end of a commit
//     that is purged together with all commits before it. An instance that dies or freezes in between leaves the
//     changes to the next. Two instances that read at once purge twice. A slot in use is refused to other instances for
//     these milliseconds, and never for longer than the connection lives.
//   - Bounded. A page ends with the transaction that exceeds pageChanges. A transaction with more than bulkNames names,
//     or with a row longer than changeBytes, stands for the table.
//
// # Milestones
//
// A slot may be dropped and made again under its name, be made anew on a promoted standby, or be advanced by an
// outsider. Such a slot looks like a slot at the place where its consumers left it, and nobody hears of the changes in
// between. The catalog does not tell the cases apart: a slot has no number, and a place behind the last one may also
// come from an advance by another instance. Memory does not help: all instances may have restarted, with their copies
// in the tier that they share. A table would help, but does not belong in a database whose owner forbids triggers. A
// key on Valkey would help too, but a flush removes the key, and a database that is set back does not set the key back.
//
// So the log itself has the record. A consumer that advances the slot to a place P first writes a message into the log
// (pg_logical_emit_message), a milestone: "all before P is purged", with the cluster, the timeline, and the tables that
// were told of, each with its relations. The milestone is written behind P, since P was read before. So the pending
// changes of a slot at P contain the milestone, for each look that finds the slot at P. Therefore:
//
//	a slot at P is where its consumers left it exactly if a milestone through P comes after P
//
// A slot that is made anew stands at a place to which nobody has advanced a slot. The place is behind everything that
// was in the log before, and each P was in the log when P was read. A consumer that writes a milestone through P and
// then fails to advance to P does no harm. A milestone of another cluster or timeline proves nothing: its writer may
// have read, from a primary that is gone, changes that were lost with the primary. A mapping that a milestone does not
// name was not told of. Neither was a mapping for which the milestone names other relations (a partition came, a table
// replaced another). A milestone is committed, and in the log on disk, before the slot is advanced, without waiting for
// a standby. So a crash never takes the milestone and leaves the advance.
//
// Without a milestone, or with one that does not name all mappings, changes went untold (slotgap.go), and the copies of
// these tables are confirmed. The time of the confirmation matters. A transaction may have changed one of the tables
// and not be visible yet: a fetch after the purge would read the old data. Such a transaction holds a lock on the table
// until the transaction is visible. So the feed waits for all transactions that hold a lock on the tables, and is blind
// until then. The milestone that names the tables again is written after that purge. An instance that dies before
// leaves the gap open.
//
// A process also knows how long the log of the server was. A log that is shorter than before was set back. Only this
// check finds a restored backup of a whole disk that has the slot in it.
//
// # Files
//
//	feed.go        the feed, its configuration and its loop
//	session.go     one look after another over one connection, from one source or another
//	connection.go  how the database is reached
//	outbox.go      the source that triggers fill
//	slot.go        the source that is a replication slot
//	slotlook.go    one look into the slot
//	slotgap.go     changes that the slot does not tell of
//	decode.go      what the slot's messages name
//	milestone.go   the place where the slot was left
//	look.go        which rows have become visible
//	consume.go     what rows name; purge, then delete
//	shared.go      other consumers that must not be there
//	owed.go        tags that are owed for changes without a row
//	missing.go     tables of which nothing tells
//	hint.go        NOTIFY, which only makes the next look come sooner
//	sight.go       how far the feed lags, and when the feed is blind
package feed
