// Package feed makes copies unusable when rows of a PostgreSQL database change. Triggers write a row into cacheproxy.outbox in the
// transaction of each change; a Feed reads the rows, has the log of invalidations make unusable what they name, and deletes them. Or a
// replication slot tells of the changes, from the write-ahead log: see below.
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
// Those that share no log of invalidations must not share a feed. Who is alone notices another one, and is blind as long as it is there: see
// shared.go.
//
// Whoever has just written through this instance has changed rows, too: Woken looks at once and consumes what it finds, so that the
// echo of a write falls into the time in which the write itself is confirmed, and does not cost the copy that is fetched next.
//
// # Owed
//
// Where nobody consumes, triggers stop writing rows, and owe the tag of the table instead. See owed.go for why that loses nothing.
//
// # The slot
//
// With Config.Logical, nothing is written when a row changes. A look peeks at what a logical replication slot has (pgoutput), purges what the
// transactions in it name until that holds, and advances the slot to the end of the last of them. It does so by SQL, over a connection like
// any other. What keeps the invariant:
//
//   - Visible. Decoding tells of a commit when it is in the log, and others see it later: after the wait for a standby, if there is
//     one. A purge in between would be followed by a fetch that reads what was before, and is stored as if it were after. So a
//     transaction is purged only when it is visible in a snapshot that was taken after the peek; until then it is passed over, and not
//     advanced over. To purge at once and again would do as well, and cost every copy twice.
//   - Peeked, and not taken. What was read is still there until the slot is advanced, behind the last commit that is purged, as are all before it.
//     Who dies or freezes in between leaves it to the next. Two that read at once purge twice; a slot that somebody reads is
//     refused to others for these milliseconds, and to nobody for longer than a connection.
//   - Bounded. A page ends with the transaction that comes over pageChanges; one with more than bulkNames names, or a row that is
//     longer than changeBytes, stands for the table.
//
// # Milestones
//
// A slot that was dropped and made again under its name, made anew on a promoted standby, or advanced by somebody looks like one that is
// where it was left; between the two lie changes that nobody hears of. The catalog does not tell them apart: it has no number of a slot,
// and a place behind the last one is what an advance by another instance looks like, too. Memory does not: all instances may
// have restarted, and their copies be in the tier that they share. A table would tell, in a database whose owner forbids
// triggers, and so would a key on Valkey, which a flush takes away, and which is not set back with a database that is.
//
// So the log itself has it. Whoever advances the slot to a place P first writes a message into the log (pg_logical_emit_message), a milestone:
// "all before P is purged", with the cluster, the timeline, and which tables had been told of, in which relations. It is written behind P, as
// P was read before; so it is in what the slot has to tell from P on, and is there for each look that finds the slot at P. Therefore:
//
//	a slot at P is where its consumers have left it exactly if a milestone through P comes after P
//
// A slot that is made anew stands at a place that nobody has advanced one to: it is behind all that was in the log before, and each P was in
// it when it was read. Who wrote a milestone through P and cannot advance to P any more has done no harm. A milestone of another cluster or
// timeline proves nothing: what was lost with a primary was perhaps read from it. A mapping that a milestone does not name, or of which it
// names other relations (a partition came, a table was exchanged), was not told of. A milestone is committed, and in the log on disk, before
// the slot is advanced, without waiting for a standby; so a crash takes neither alone.
//
// Where there is no milestone, or not for all, changes went untold (slotgap.go): the copies of these tables are confirmed. When? A transaction
// that has changed one of them, and is not visible yet, would be read around by a fetch after the purge. It holds a lock on the table until it
// is visible. So who holds one is waited for, and the feed is blind until then. The milestone that says that all was told is written after
// that purge, and whoever dies before leaves the gap open.
//
// What a process knows besides is that the log of a server was longer than it is now: that was set back. A backup of a whole
// disk that has the slot in it is found by this alone.
//
// # Files
//
//	feed.go        what a feed is made of
//	session.go     one look after another over one connection, from one source or another
//	connection.go  how the database is reached
//	outbox.go      the source that triggers fill
//	slot.go        the source that is a replication slot
//	slotlook.go    what is read of it at once
//	slotgap.go     changes that it does not tell of
//	decode.go      what its messages name
//	milestone.go   where it was left
//	look.go        which rows have come into sight
//	consume.go     what rows name; purge, then delete
//	shared.go      who else consumes that must not
//	owed.go        tags that are owed for changes without a row
//	missing.go     of which tables nothing tells
//	hint.go        NOTIFY, which only makes the next look come sooner
//	sight.go       how far behind it is, and from when on it is blind
package feed
