// Package postgres has a database say which copies its changes make unusable: the mapping from rows to names, and the SQL that is
// installed in the database. Package feed below it consumes what the SQL writes.
//
// # What is promised
//
// A row of the outbox is written in the transaction of the change that it tells of. It is rolled back with the change, lost with it, and
// seen no earlier than the change is. So whoever has read a row may purge: what is fetched from then on finds the change. There is no
// order and no watermark: an invalidation twice, or in another order, is the same invalidation, and what is there has to be consumed.
//
// Two rules hold everything together:
//
//   - Names (F1). What a mapping can render is what a copy of the same values carries (policy.Invalidates.OfRow), and every copy of the
//     mapping's routes carries the tag of the table too (Mapping.Whole). So the tag stands in for any number of rows: for a TRUNCATE, for
//     a statement that touches more than maxTuples, for values that are too long for a name, for rows that could not be read, for a
//     mapping of which the consumer does not know the id, and for the rows that are not written while nobody consumes.
//   - Owed (F2). A change has either a row in the outbox, or the tag of its table is owed, from the commit of the change until the
//     invalidation of the tag holds.
//
// # The mapping's id
//
// An id is "schema.table#digest", of everything that decides what a row's values are and what they render to (Mapping.ID). Where two
// configurations are in force at once, a consumer with one never renders the rows of a trigger that was made for the other: it does
// not know the id, and invalidates the table's tag, of which all that it has to know is in the id. A trigger that nobody has a mapping
// for any more names a tag that no copy has.
//
// # Gaps
//
// The triggers are as new as the last install, and whoever owns a table can take them away. A consumer is blind for a mapping (Gaps), says so,
// and treats the mapping's routes as it does when the database is away, while one of these does not hold:
//
//   - The mapping has a row in marker.
//   - Each relation that an install would put triggers on has them at present, by name, function, events and tgenabled.
//   - These relations are those in covered, by their oids. A table that was exchanged for another may have the same triggers, as one that
//     pg_restore has brought does: its rows came before them.
//
// What changed meanwhile is told by nobody. So an install that mends anything of a mapping writes a row for the table, in its
// transaction; and a consumer that finds mended what it has found wrong invalidates the tag of the table before it sees again, since an owner
// can enable a trigger without an install. Both find the untold changes in sight: creating and enabling a trigger waits for whoever is
// changing the table. What comes and goes between two looks at the catalog is seen by nobody.
//
// # The objects
//
// All are in schema cacheproxy, which nothing else should be in, and which one fleet has for itself: instances of one configuration.
//
//	cacheproxy.installation  version int, notify bool         one row: the version of what is here
//	cacheproxy.outbox        id bigint, identity
//	                         mapping text     the id of the mapping; or "schema.table", of an order by hand: the tag of that table
//	                         width   int      values in a tuple
//	                         tuples  text[]   n tuples of width values, one after another, in one dimension or two; an element that is NULL is
//	                                          NULL in the table; NULL in place of the array: the tag of the table. With a width of 0,
//	                                          an empty array is one tuple without values. Resolve reads all of this
//	                         cause   text     why the tag: truncate, bulk, long, installed, removed, error SQLSTATE; NULL where there are tuples
//	                         at      timestamptz, clock_timestamp() of the insert
//	                         xid     xid8, the top-level transaction that has inserted it; the primary key is (xid, id)
//	cacheproxy.marker        mapping text primary key, owed regclass, lossy bool, at timestamptz
//	                         one row for each mapping that is installed; never updated, so that a lock of it fails in no
//	                         isolation level
//	cacheproxy.covered       mapping text primary key, relations oid[]: what its triggers were put on. It is not in marker, which a writer
//	                         may have to lock: a row that is updated fails there in a transaction whose snapshot is older
//	cacheproxy."owed_DIGEST" a sequence for each mapping: 1, the tag of the table is owed; 0 or never called, it is not
//	cacheproxy.consumed      a sequence: up to which id of outbox the consumer is through
//	cacheproxy.lost          a sequence: how many statements have neither a row nor an owed tag (on_error: lose)
//	cacheproxy."changed_DIGEST_EVENT"()   the functions; the triggers are called cacheproxy_DIGEST_EVENT
//
// Sequences, because they belong to no transaction: what is set is seen by all at once, whatever snapshot they have, and no long
// transaction elsewhere keeps dead versions of them. They are in the WAL before the commit of whoever has set them.
//
// # What a writer does
//
// With each statement that changes something, in its own transaction, waiting for nobody:
//
//	W1  overflows := outbox_id_seq.last_value - consumed.last_value > limit
//	W2  if overflows, and SELECT FROM marker WHERE mapping = ID FOR KEY SHARE SKIP LOCKED finds the row, then
//	        setval(owed, 1) unless it is 1, and no row is written
//	W3  else one row is written: the tuples of old and new rows, or NULL in their place
//
// The lock of W2 lasts until the transaction ends.
//
// # What a consumer does
//
//	C1  rows:    read some, invalidate what they name until it holds, then DELETE them BY KEY. No transaction is open meanwhile.
//	C2  progress: then setval('cacheproxy.consumed', N), at most once a second or so, where N is the outbox_id_seq.last_value that was
//	    read before C1's SELECT if that found less than it asked for, else the greatest id that was deleted. Never smaller than it is;
//	    but one that is alone leaves a mark there by nextval, to be found by others that should not be there, and sets it back to N
//	    when that has brought it a hundredth of the limit ahead (package feed, shared.go).
//	C3  owed:    mappings := SELECT mapping, owed FROM marker WHERE coalesce(pg_sequence_last_value(owed), 0) = 1
//	    for each, in a transaction of its own:
//	        SELECT FROM marker WHERE mapping = ID FOR UPDATE SKIP LOCKED; without a row: ROLLBACK, and again at the next poll
//	        read owed again: 0, ROLLBACK, another consumer was here
//	        invalidate the tag of the table (TableTag of the id) until it holds
//	        setval(owed, 0); COMMIT
//
// C3 is after C1 and C2 in a poll: what W1 finds stops the writers from taking new locks as soon as somebody consumes, so that the
// consumer, which waits for none of them, gets its own.
//
// Why this keeps F2. A writer without a row holds FOR KEY SHARE until it has committed or has not. Say that it got the lock before
// the consumer: then the consumer gets none, and the tag stays owed until a consumer finds the writer gone, its change in sight of all.
// Say that the consumer was first: then the writer gets none, and writes a row. So no change is without a row and unseen when its
// tag is invalidated. setval(owed, 1) comes after the lock and setval(owed, 0) under the other: none undoes the other's. A consumer that
// dies in C3 has released its lock, and owed is still 1. A writer that rolls back leaves a tag owed for nothing, which costs copies.
//
// W1 is an estimate, of all mappings together: what is wrong with it costs rows or copies, and no change.
//
// # Lost
//
// With on_error: lose a statement goes on although neither row nor lock could be had: nextval('cacheproxy.lost'), and marker.lossy is
// true. A consumer that sees lost rise, over connections, raises an alarm and invalidates the tags of all lossy mappings; so it does, without
// an alarm, when it first sees a number that is not zero. It may see the number before the change, so this only makes the damage less.
//
// With notify: true a writer also sends NOTIFY cacheproxy, with no payload, which a consumer may take as a hint to poll.
//
// # Without triggers
//
// With a slot (Logical) the write-ahead log tells of changes, and none of the above is there: a publication of the tables, with each relation
// as itself, since TRUNCATE of a partition goes unsaid where it is published as its table; old rows with the columns that the mapping needs
// (REPLICA IDENTITY); and the slot. Package feed has what it promises. An install that mends a publication writes a message for each mapping of
// which changes went untold (UntoldPrefix), in its transaction.
//
// # Files
//
//	mapping.go               what a row of the outbox names
//	connect.go               where the database is
//	layout.go                what all mappings share
//	function.go, quote.go    the functions of a mapping
//	trigger.go, grant.go     on which tables they hang, and what the consumer may do
//	catalog.go               what the database has
//	shape.go                 whether what all mappings share is as install makes it
//	plan.go, install.go      what it lacks; install it, take it away
//	logical.go, slot.go      a publication and a slot
//	told.go                  how the tables are told of by them
//	gaps.go                  which mappings a consumer hears nothing of
package postgres
