// Package postgres has a database say which copies its changes make unusable. The package has the mapping from rows to
// names, and the SQL that install puts into the database. Package feed below consumes what the SQL writes.
//
// # What is promised
//
// A trigger writes a row of the outbox in the transaction of the change that the row tells of. A rollback takes both, a
// crash loses both, and nobody sees the row earlier than the change. So a consumer that has read a row may purge: a
// fetch that begins after the purge finds the change. Rows have no order, and there is no watermark: an invalidation
// that comes twice, or in another order, is the same invalidation, and a consumer consumes every row that is there.
//
// Two rules hold everything together:
//
//   - Names (F1). The names that a mapping can render for a row are names that a copy of the same values carries
//     (policy.Invalidates.OfRow). Every copy of the mapping's routes carries the tag of the table too (Mapping.Whole).
//     So the tag stands in for any number of rows: for a TRUNCATE, for a statement that touches more than maxTuples,
//     for values that are too long for a name, for rows that the trigger could not read, for a mapping whose id the
//     consumer does not know, and for the rows that triggers leave out while nobody consumes.
//   - Owed (F2). A change either has a row in the outbox, or the tag of its table is owed from the commit of the change
//     until the invalidation of the tag holds.
//
// # The mapping's id
//
// An id is "schema.table#digest". The digest is of everything that decides the values of a row and what the values
// render to (Mapping.ID). Two configurations may be in force at once. A consumer with one of them never renders the
// rows of a trigger that was made for the other: the consumer does not know the id, and invalidates the tag of the
// table, which the id names. A trigger for which no configuration has a mapping names a tag that no copy has.
//
// # Gaps
//
// The triggers are as new as the last install, and the owner of a table can remove or disable them. A consumer is blind
// for a mapping (Gaps), says so, and treats the mapping's routes as when the database is away, until all of these hold:
//
//   - The mapping has a row in marker.
//   - Each relation that an install would put triggers on has them, by name, function, events and tgenabled.
//   - These relations are those in covered, by their oids. A table that replaced another may have the same triggers. A
//     table from pg_restore is an example: its rows came before its triggers.
//
// Nothing tells of changes that were made in the meantime. So an install that mends anything of a mapping writes a row
// for the whole table, in its transaction. An owner can enable a trigger without an install. So a consumer that finds a
// gap closed invalidates the tag of the table before the consumer counts as seeing again. Both invalidations come after
// the untold changes are visible: creating and enabling a trigger waits for the transactions that are changing the
// table. A trigger that goes and comes back between two looks at the catalog goes unnoticed.
//
// # The objects
//
// All objects are in schema cacheproxy. Nothing else should be in the schema, and one fleet (instances of one
// configuration) has the schema for itself.
//
//	cacheproxy.installation  version int, notify bool         one row: the version of the installed objects
//	cacheproxy.outbox        id bigint, identity
//	                         mapping text     the id of the mapping; or "schema.table", in a row that a person wrote: the
//	                                          tag of that table
//	                         width   int      values in a tuple
//	                         tuples  text[]   n tuples of width values, one after another, in one dimension or two. An
//	                                          element that is NULL is NULL in the table. NULL in place of the array: the
//	                                          tag of the table. With a width of 0, an empty array is one tuple without
//	                                          values. Resolve reads all of these
//	                         cause   text     why the tag: truncate, bulk, long, installed, removed, error SQLSTATE; NULL
//	                                          with tuples
//	                         at      timestamptz, clock_timestamp() of the insert
//	                         xid     xid8, the top-level transaction of the insert; the primary key is (xid, id)
//	cacheproxy.marker        mapping text primary key, owed regclass, lossy bool, at timestamptz
//	                         one row for each mapping that is installed; never updated, so that locking the row fails in
//	                         no isolation level
//	cacheproxy.covered       mapping text primary key, relations oid[]: the relations that its triggers were put on. They
//	                         are not in marker, whose rows a writer may have to lock: locking an updated row fails in a
//	                         transaction whose snapshot is older than the update
//	cacheproxy."owed_DIGEST" a sequence for each mapping. 1: the tag of the table is owed; 0 or never called: not owed
//	cacheproxy.consumed      a sequence: the id of outbox up to which the consumer has consumed
//	cacheproxy.lost          a sequence: how many statements have neither a row nor an owed tag (on_error: lose)
//	cacheproxy."changed_DIGEST_EVENT"()   the functions; the triggers are called cacheproxy_DIGEST_EVENT
//
// These values are sequences because a sequence belongs to no transaction. All sessions see a new value at once,
// whatever their snapshots, and a long transaction elsewhere keeps no dead versions. A value is in the WAL before the
// commit of the transaction that set the value.
//
// # What a writer does
//
// With each statement that changes something, in the transaction of the statement, waiting for nobody:
//
//	W1  overflows := outbox_id_seq.last_value - consumed.last_value > limit
//	W2  if overflows, and SELECT FROM marker WHERE mapping = ID FOR KEY SHARE SKIP LOCKED finds the row, then
//	        setval(owed, 1) unless it is 1, and no row is written
//	W3  else one row is written: the tuples of old and new rows, or NULL in their place
//
// The lock of W2 lasts until the writer's transaction ends.
//
// # What a consumer does
//
//	C1  rows:    read some, invalidate what the rows name until the invalidation holds, then DELETE the rows BY KEY. No
//	    transaction is open meanwhile.
//	C2  progress: then setval('cacheproxy.consumed', N), at most once a second or so. N is the outbox_id_seq.last_value
//	    that was read before C1's SELECT if the SELECT found fewer rows than asked for, else the id of the last row that
//	    was deleted. N never lowers the sequence, with one exception: a consumer that is alone marks the sequence by
//	    nextval, so that consumers that should not be there notice each other. The consumer sets the sequence back to N
//	    once the marks are a hundredth of the limit ahead (package feed, shared.go).
//	C3  owed:    mappings := SELECT mapping, owed FROM marker WHERE coalesce(pg_sequence_last_value(owed), 0) = 1
//	    for each, in a transaction of its own:
//	        SELECT FROM marker WHERE mapping = ID FOR UPDATE SKIP LOCKED; without a row: ROLLBACK, and again at the next poll
//	        read owed again: if 0, ROLLBACK, another consumer was here
//	        invalidate the tag of the table (TableTag of the id) until the invalidation holds
//	        setval(owed, 0); COMMIT
//
// C3 comes after C1 and C2 in a poll. The consumer never waits for a lock, so writers have to leave the marker free:
// once C2 has advanced consumed, W1 is false, and no writer takes a new lock.
//
// Why this keeps F2. A writer without a row holds FOR KEY SHARE until the writer's transaction ends. If the writer
// locks the marker before the consumer, the consumer gets no lock. The tag then stays owed until a consumer finds the
// writer gone, and the change is visible to all. If the consumer locks first, the writer gets no lock, and writes a
// row. So a change without a row is visible before the invalidation of its tag. setval(owed, 1) happens under the
// writer's lock and setval(owed, 0) under the consumer's: the two locks exclude each other, so neither call undoes the
// other. A consumer that dies in C3 releases its lock, and owed is still 1. A writer that rolls back leaves a tag owed
// for nothing, which costs copies.
//
// W1 is an estimate, for all mappings together. A wrong estimate costs rows or copies, and loses no change.
//
// # Lost
//
// With on_error: lose, marker.lossy is true, and a statement goes on although its trigger could neither write a row nor
// take the lock. The trigger then calls nextval('cacheproxy.lost'). A consumer that sees lost rise, over connections,
// raises an alarm and invalidates the tags of all lossy mappings. A consumer that first sees a number that is not zero
// does the same without an alarm. The consumer may see the number before the change, so the invalidation reduces the
// damage and does not exclude stale copies.
//
// With notify: true, a writer also sends NOTIFY cacheproxy, with no payload, which a consumer may take as a hint to
// poll.
//
// # Without triggers
//
// With a slot (Logical), the write-ahead log tells of changes, and the database has none of the objects above. The
// database has a publication of the tables, the replica identity of old rows (REPLICA IDENTITY) with the columns that
// the mapping needs, and the slot. The publication has each relation as itself: a publication of a partition as its
// table leaves out TRUNCATE of the partition. Package feed documents the promises of a slot. An install that mends a
// publication writes, in its transaction, a message for each mapping whose changes went untold (UntoldPrefix).
//
// # Files
//
//	mapping.go               what a row of the outbox names
//	connect.go               where the database is
//	layout.go                the objects that all mappings share
//	function.go, quote.go    the functions of a mapping
//	trigger.go, grant.go     the tables that have triggers, and the privileges of the consumer
//	catalog.go               what the database has
//	shape.go                 whether the shared objects are as install makes them
//	plan.go, install.go      what the database lacks; install and remove
//	logical.go, slot.go      a publication and a slot
//	told.go                  how publication and slot tell of the tables
//	gaps.go                  the mappings of which a consumer hears nothing
package postgres
