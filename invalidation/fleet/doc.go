// Package fleet is the protocol by which several instances of the proxy follow one log of invalidations, so that an
// acknowledged purge holds on all of them. This comment is the document of the protocol. The package is the pure part
// of the protocol: it does no I/O, and has no clock, no randomness and no goroutine. A driver carries the messages and
// passes the time, so that the same code runs against a server (package invalidation/valkey) and in a simulation (the
// tests of this package).
//
// The promise: after a purge or a write was acknowledged, no instance answers a request that arrives later from a copy
// that was fetched from the origin before the purge or the write.
//
// # Terms
//
//   - Member: a name by which copies can be invalidated. A copy has several members: its key, each tag, each path
//     prefix, its route, and the member that every copy has. Members are hashed to an invalidation.ID.
//   - Log: the ordered list of all entries that make copies unusable, kept by a server for all instances.
//   - Entry: one item of the log (invalidation.Record). The Seq of entries counts from 1 without gaps. The nonce of
//     an entry is drawn anew for every attempt to write the entry, so that equal nonces at equal Seqs mean equal logs
//     up to that Seq (Raft calls this log matching).
//   - Mark: for one member, the position of the last entry that has named the member.
//   - Strength: the effect of an entry on copies. Hard: the copies are unusable. Soft: the copies are stale. Confirm:
//     the copies may have changed, and the origin has to confirm them before they are used. Where the origin fails,
//     such copies may stand in as stale copies do, but not on a route whose writes are fenced.
//   - Ledger: the marks, in the memory of each instance (invalidation.Ledger). An instance applies an entry by
//     setting the marks of the entry's members. Instances apply entries in the order of the log.
//   - Floor: the position at or below which marks may have been forgotten, to bound memory. Copies from before the
//     floor are refused.
//   - Position, token: how far a ledger has come, as a number of this process (invalidation.Token). Token positions
//     only grow. A LogPosition (History, Term, Seq, nonce) is the same for all instances; Positions translates
//     between the two.
//   - Stamp: the token of a copy, taken before the request that fetched the copy went to the origin.
//   - Lease: the time until which an instance may use copies without news from the log (invalidation.Lease). Chubby's
//     clients keep the same kind of lease on their caches. The length of the lease is configured for each instance,
//     which tells the length with every heartbeat. The lease timeout of an instance is its lease plus the margin:
//     after a lease timeout without a sign of life the instance holds no lease, by whatever clock. The lease timeout
//     of the fleet is the longest lease timeout of its instances. The server keeps the longest lease with the log,
//     for instances that come when the instance with that lease is gone. An instance of a version that does not tell
//     its lease counts as invalidation.MaxLease, and so does an instance on the list that claims a longer lease.
//   - Margin: 5 % of a lease and at least 50 ms, for clocks that run at different rates. The holder of a lease stops
//     a margin early, and an instance that waits for the end of another's lease waits a margin longer. No two clocks
//     are ever compared.
//   - Heartbeat: a SyncRequest. The Beat of heartbeats counts up; others see that the instance is live when they see
//     the number change.
//   - Live, suspected, reaped: an instance is live while the server lists the instance. Another instance suspects an
//     instance whose heartbeat has not changed for the lease timeout of the suspected instance. Another instance
//     reaps a suspected instance by taking it off the list.
//   - Fence: a mark that stays open around a write, from before the origin sees the write until the outcome of the
//     write is known. Meanwhile copies with a member of the fence are neither used nor stored. The writer of a fence
//     is the instance through which the write goes.
//   - Owed entry: an entry that this instance has applied and that no other instance may know of, because the server
//     could not be reached or has lost the entry.
//   - History: the name of one life of the log, 12 random bytes. A log that lost everything begins with another
//     History. The log then names the History that its first instance had followed (Snapshot.Previous).
//   - Term: one server's time as keeper of the log within a History. A Term begins at a Seq, and bears the name of
//     the server's process. The terms of a log are the lineage of the log: two positions compare only within one
//     lineage.
//   - Epoch: the time since all instances have had reason to be registered with the present server, in the present
//     log. An epoch has no number; each instance keeps the start of the epoch by its own clock.
//   - Quorum: the instances that must agree. In this protocol the quorum is every live instance: any single instance
//     may be the only one that knows an entry, or the only one that still uses a copy. Instances that are not live
//     are waited for by time, not by vote.
//
// # Names
//
// An entry names members, and has two more lists of names (Older and Spared). A version that does not know these lists
// ignores them, and then invalidates more copies than are meant and never fewer. Both lists stand in the field where
// earlier versions read a notice, in entries that announce no notice.
//
//   - Older (Record.Older): members that this version applies to nothing. For APIs that are sent a Host of their own,
//     earlier versions know the copies of all such APIs by one name. Earlier versions find their copies by that name
//     in the entries of this version. The copies of this version bear the name for the entries of earlier versions.
//     Among instances of this version the name makes no copy unusable. In the shared tier neither version finds the
//     copies of the other, since the fingerprints of their routes differ.
//   - Spared (Record.Spared): the entry leaves copies alone that have one of these members. A writer that has named
//     very many URLs (Crowd) names the prefix that the URLs begin with, and spares the prefixes of other routes
//     below. The marks at the server ignore Spared: an instance that reads a snapshot takes the marks in whole.
//
// # Messages
//
// An instance sends one SyncRequest after another and waits for each reply; only the reply to the latest request
// counts. A request contains
//
//   - the log and the term that the instance follows (History, Term);
//   - the last entry applied (Applied, Nonce), and whether the instance owes entries (Owes);
//   - how long the instance's lease is, and for how long the instance has held a lease in this term (Lease, Held);
//   - the edition of the list that the instance knows (Edition). Where the list has another edition, Held counts as
//     zero;
//   - until the epoch has settled, the longest lease that any instance may hold and that this instance has heard of,
//     since the server may be one that has not heard of that lease (Longest).
//
// The server must carry the request out in one atomic step, which writes: a server that was demoted, or that has lost
// its replicas, refuses writes, and so extends no lease. In this order the server
//
//  1. compares the logs: the server has no log (NoHistory), or a log with another History (OtherHistory). In either
//     case the reply ends here;
//  2. begins a Term at its last Seq, when another server process has kept this log before;
//  3. compares the positions: the server's log ends before Applied or has another nonce at Applied (Diverged), or is
//     trimmed beyond Applied (Gap). In either case the reply ends here, and bears the name of the server beside the
//     status;
//  4. registers the instance as a Peer: the acknowledgement of all entries up to Applied;
//  5. returns the entries after Applied, as many as fit, the last Seq, the Floor, the terms if the latest term is not
//     the term of the request, the live instances, the edition of their list (R13), and the longest lease.
//
// A server that does not name its process extends no lease: without terms, nobody could tell what a failover has lost.
//
// The Step that Receive returns is the driver's next action:
//
//   - Idle: sync again after a heartbeat (a sixth of a lease), or when the server hints at a new entry.
//   - SyncAgain: sync at once. The log has more entries, or the entries just applied have to be acknowledged.
//   - CreateLog: have the server begin a History. In one step the server clears all remains of another log, unless a
//     log exists.
//   - FetchSnapshot: read History, Previous, Seq, nonce, Floor, all marks, open fences and notices; call
//     InstallSnapshot.
//   - CompareLogs: read the log backwards, look for an entry in common (LastCommon), call Rewind.
//
// Appending entries is one atomic step too. The server compares the History, gives the next Seqs, appends the entries,
// and sets the marks of their members, from which snapshots are read. In the same step the server tells the entries to
// all listeners, and returns who is on the list. With replicas the writer waits until the replicas have the entry
// before the entry counts as written. A writer repeats an attempt whose outcome is unknown as another entry with
// another nonce. Invalidating twice is harmless, while finding the first attempt in the log would prove nothing about
// the replicas.
//
// Due returns the records that this instance has to write of its own accord. Due hands a record out again every second
// until the record comes back in the log. Several instances may each have a record to write for the same reason, such
// as the end of a dead writer's fence. Such a record bears the same key on all instances (Record.Repeats) and is due at
// a different moment on each: the first instance to write spares the others.
//
// # Rules
//
// R1 to R6 and R11 concern the users of the ledger, on one instance or on many; the other rules are carried out by this
// package and its driver.
//
// R1 Token. An instance takes Ledger.Token immediately before it sends a request to the origin, also to renew a copy,
// to revalidate a copy, and to fetch after a write. Without the token: a fetch reads the origin, then a change and its
// purge come. The response from before the change is stored after the purge, and is used until it expires.
//
// R2 Store. When the last byte is there, the fetching instance asks Ledger.Admits with the token and all members,
// including those that only the response has named. The copy is stored only if no member was invalidated after the
// token, no member is fenced, and the token is not below the floor. Asked at the beginning, when the tags of the
// response are not known, the ledger would miss a purge by tag.
//
// R3 Use. Before a copy is used, Ledger.Check compares the copy's stamp with the marks of all its members. A copy from
// the shared tier bears a LogPosition, and Positions.FromLog must vouch for that position first: the History is the
// same, the Seq is already applied here, the term of the position had not ended before that Seq, the nonce at that Seq
// is the same, and the instance owes nothing. Without the comparison of terms and nonces, a copy stamped in a part of
// the log that a failover has lost would pass for newer than an entry that has taken a lower Seq since. Without the
// condition on owed entries, a copy could outlive a purge as follows. A server comes back with a branch of the log that
// ends before a purge which was applied here. This instance then applies the entries of that branch, at later positions
// of the ledger than the purge. Copies stamped there would outlive the purge until the purge is in the log again.
//
// R4 Join. A request that arrived when the ledger stood at p may share a fetch with token t only if no member of the
// copy was invalidated between t and p. The check is Ledger.Since, which the request asks anew when the response has
// named its tags. Otherwise the request arrives after a purge and gets a response that was fetched before the purge.
//
// R5 Next flight. A request may arrive while no lease is held, or while one of the members that the request knows is
// fenced. Such a request may share only a fetch that is sent to the origin after the request arrived. One fetch under
// way and one waiting are kept for each key. A fetch from before may have missed a purge that this instance has not
// applied. A fetch for each request would be the stampede that the cache is meant to prevent.
//
// R6 Lease. A request looks at the lease once, with a clock that the request reads after its arrival. Without a lease
// copies are not used, except by routes that allow stale copies. With a clock read before the arrival, a process that
// was frozen in between would still see a lease that the other instances have waited out.
//
// R7 Apply, then extend. On a reply the follower applies all entries, then extends the lease to the moment when the
// request was sent, plus a lease, less the margin. A reply that does not bring everything extends nothing. Were the
// lease extended first, the lease would cover requests that find a ledger without the entries. Were the lease counted
// from the reply's arrival, a slow reply would carry the lease too far: the others saw the heartbeat when the server
// did, and could take this instance for dead while its lease still ran.
//
// R8 Join the fleet. A new instance fetches a snapshot, then syncs. The sync registers the instance and brings all
// entries after the snapshot. The instance applies these entries, and only then takes a lease. Registration and the
// reading of the entries are one atomic step. Otherwise an entry appended between the two would be confirmed without
// this instance, and this instance would not apply the entry.
//
// R9 Lost end. When the server's log has lost entries that were applied here, the follower goes back to the last entry
// in common (Rewind). The lost entries stay applied in this ledger, whose positions go on growing. The instance writes
// the lost entries again for instances that had not applied them, each entry with a new nonce and with a key derived
// from the lost entry: several instances know the same key, and one writes. With its old nonce an entry could land at
// its old Seq after different entries, and two logs that differ would match. A lost beginning of a fence is written as
// a plain invalidation: the end of the fence may already be in the log, and the fence would never end. Without an entry
// in common the lease is revoked, all copies become unusable, and the log is followed from a snapshot.
//
// R9b Gap. An instance that has missed more than the server keeps installs a snapshot of the same log: the marks beyond
// the entries that the instance has applied, the floor, and the open fences. Fences that are not open in the snapshot
// end here, apart from the fences that this instance still renews. Copies stay and are judged by the new marks.
//
// R9c Everything. Marks that are older than the entries which this instance remembers cannot be written again one by
// one. A log may lack such marks where the logs have no entry in common, or where the log's History is not known to
// have come after the History that was followed. Then the instance writes an entry into the log that has everything
// confirmed, and owes that entry. The copies that a server brings back with an old log may have been purged since.
// Making all of them unusable at once would leave the origin to carry the whole load.
//
// R10 Another history. When the server's log has another History, all entries of the old log that were applied within
// the last minute are written into the new log, with the standing notices. LogPositions of the old History are refused
// (R3). A History that names the old one as its Previous is known to have begun later. For any other History R9c holds:
// that log may be the past, restored. An instance that still held its lease keeps its copies, since the instance had
// applied everything. An instance without a lease waits as in R16. Such an instance gives up all copies in two cases.
// In the first, the instance was out of touch for longer than the others remember. In the second, an instance that was
// live in the old log does not appear in the new one: that instance may have taken with it the only record of a purge.
//
// R11 Purged is not expired. A purged copy is used for no answer: not while the copy is being revalidated, not where
// the fetch has failed, and not to answer a 304. Only a soft purge leaves a copy that is stale. A renewal that began
// before the purge is refused by R2.
//
// R12 Owe. An instance takes no lease while it owes an entry. After an outage the others would otherwise confirm that
// all is well with a server that lacks a purge which this instance has applied alone.
//
// R13 Confirm. The instance that has written an entry acknowledges the entry under two conditions (Confirmation): every
// live instance has applied the entry, and a lease timeout has passed since the epoch began. The lease timeout is that
// of the fleet, since an instance that the server does not know of may have a longer lease than the writer. An instance
// that does not apply the entry holds up the others until the instance is reaped (but see R13b). Without the second
// condition a server that has just taken over, whose list is still empty, would confirm at once, while instances on the
// old server use their leases to the end.
//
// The list has an edition. The edition changes after somebody who is no instance has taken instances off the list or
// has put instances on. The server counts the instances that register, leave and are reaped, and begins an edition in
// any step that reads the list and finds more or fewer instances. An instance that learns of another edition begins an
// epoch too: the instances that were taken off may hold leases. The instance does not vouch for the time before the
// edition (R16), and accepts no other's word for that time.
//
// The live instances are known from one reply, or from the list as it was in the step that appended the entry
// (Witness). That list needs the writer on it, and the edition of the last reply. An instance that registers after the
// append is told of the entry by the reply that registers the instance, and takes no lease before it has applied the
// entry (R8). The list of the append counts only if its server is the server that the last reply came from; the epoch
// of another server is not known. The list of a reply says which instances have applied the entry, or the instance says
// so itself (R19). The instance names the entry by its nonce, and not by its Seq. An instance that has applied the
// entry on a branch of the log that was lost has no copy from before the entry; an instance that has another entry at
// that Seq may have one.
//
// R13b Bound. An instance on the list that has not applied the entry is waited for until its lease timeout has passed
// since the entry was seen in the log, and no longer, whether or not its heartbeat changes. By R7 a lease comes from a
// reply that brings everything. If the server has carried out the request after the append, the reply brings the entry.
// If the server has carried out the request before the append, the request was sent before, and the lease of its reply
// counts from that sending. Without the bound, an instance that cannot apply anything would hold up every purge for as
// long as it shows signs of life, and so would any item that somebody has written on the list.
//
// R14 Reap. An instance takes another off the list only if it has watched the other's heartbeat not change for the
// other's lease timeout, by the watcher's clock, and only if the list still says what the watcher saw. A watcher that
// got no replies for half a lease begins to watch anew: the watcher may have been the silent one. Any shorter wait
// could reap an instance that holds a lease, and confirm a purge that the instance has not applied.
//
// R15 Fence. The writer appends the beginning of a fence before the origin sees the write. After the origin has
// answered, the writer appends the end, with the members that the response has named. The client is answered only when
// the end is confirmed as in R13, but for the exception below. If the writer dies in between, nobody knows whether the
// origin has changed: the fence keeps copies away. The writer appends the beginning again every third of a FenceLife; a
// fence that is not renewed expires, and any instance appends its end. The writer of a write with unknown outcome
// abandons the fence: it renews the fence once more with the time that the origin may still take, and not again. An end
// may say that the write changed nothing (Record.Life is not zero): copies are then as before, if nothing else has
// named the members since the first beginning. The end of a fence tells the writer since when nothing else has named
// the members (Event.Quiet), across renewals and snapshots, which set the marks of the members anew.
//
// The client need not wait for the end where the beginning was confirmed, as in R13, and the fence still stands
// (Follower.Conclude). Then no instance that holds a lease uses a copy of the members until the instance applies the
// end. A fetch that such an instance began before the end is not stored (R2), and is not shared with a request that
// came after the beginning of the fence (R5). Conclude requires that
//
//   - the writer holds its lease, by a clock read after the origin's answer, in the epoch in which the beginning was
//     confirmed;
//   - less than a third of a FenceLife has passed since the beginning was sent, so that no instance has taken the
//     writer for dead;
//   - the end names no other members;
//   - no member is of a kind that only an answer names, since a request for such a copy does not know that the copy
//     is fenced;
//   - all instances are of a version that shares no fetch while a member is fenced.
//
// An instance that takes a lease from a log which has lost the beginning waits for a lease timeout (R16). By then the
// writer's lease has lapsed, or the writer has come over, which begins another epoch. An instance that goes over to
// such a log with its lease keeps the fence: the lack of a fence says that the fence has ended only in the log in which
// the fence was begun. The writer writes the end soon, and again until the end is in the log. If the writer dies
// before, the fence expires.
//
// R16 Grace. When another server answers, entries of the former server may be lost, and an instance whose lease has
// lapsed cannot know which. Such an instance takes no lease for a lease timeout, nor before the heartbeat of each live
// instance has changed and none of them owes an entry. An instance that holds its lease goes on. The same holds after
// R9 and R10, and for every newcomer, which knows nothing of the entries that a log may have lost. The server's uptime
// says nothing of lost entries, since a replica that was up all the time may have taken over.
//
// The wait ends at once when another instance vouches. An instance vouches if its heartbeat has risen meanwhile, and if
// it says that it has held its lease in the present term for a lease timeout of the fleet. That instance had applied
// every entry that was confirmed before the term, and has written the lost ones again. An instance that had not come
// over to the term by then has no lease. A heartbeat that does not change may stand on the list of a server that has
// come back from before. A heartbeat vouches only if it is higher than it was; where signatures are required, only if
// it is signed.
//
// An instance on the list may not have spoken to the server in its present term, and go off the list instead. That
// instance may have been the only one that knew an entry, and may be cut off. Then all copies of the waiting instance
// are given up and everything is confirmed (R9c) before the lease is taken. The same holds where an instance on the
// list neither settles nor goes off the list within three lease timeouts of the fleet. An entry that the unsettled
// instance may owe can then concern no copy of the waiting instance.
//
// R17 Damage. A log is whole if the last item of its list stands at the log's position, if the items are entries, and
// if there are as many items as positions from the first to the last. Otherwise somebody who is no instance has written
// into the list: the server counts on from the foreign item, and refuses every entry. No instance takes a snapshot or a
// reply from a damaged log. The server begins another log, which does not name the damaged one as its Previous. By R9c
// everything is confirmed once, since nobody knows which entries were written over or are gone. Heartbeats check for
// damage. The step that appends does not check, where the server refuses nothing. An entry that is appended behind a
// foreign item is told to all listeners (R19), and is among the marks, so that the entry holds on every instance as in
// a whole log. Heartbeats find the foreign item by the number of items. The server also counts marks, fences and
// notices, and checks them in the same way: an instance that starts would never hear of missing ones.
//
// R18 Tell. A write needs no entry if no copy can bear the members that the write names. Before an instance has copies,
// the instance tells in a notice, which stands as long as the log, of which URLs its routes can have copies. The
// instance takes no lease until the notice is confirmed as in R13 (Withhold). A writer that leaves out an entry looks
// at all notices that it has applied after the origin has answered the write, and then at its lease, by a clock read
// after that. While the writer holds a lease, no notice is confirmed that the writer has not applied. So an instance
// with copies that the writer does not know of has no copy yet that may be used, and later fetches see the write. If
// the writer looked before sending the write, the notice could be confirmed, and a copy fetched, while the write is at
// the origin.
//
// Copies on the server outlast configurations. So a notice first says that it begins: once that beginning is confirmed,
// writers leave out no entry that concerns the routes of the notice. Writers that knew of other routes only may have
// left out entries before. An entry that names the routes of the notice makes up for the omitted entries; where no
// other notice had been told when the notice was applied, that entry is not needed. Only then the notice says that it
// is whole, and an instance that comes later with the same routes goes on with their copies. Without the two steps an
// instance that comes between the notice and the entry would use copies from before. A notice is never withdrawn: its
// instances may all be stopped, and come back.
//
// Where a log takes the place of a log in which the notice stood, the instance gives its lease back, and tells again. A
// version that tells of nothing is known by its heartbeats, which count from 1 and not from 2^48. Every write has its
// entry while an instance of such a version is on the list, while no notice was told, and while a notice cannot be
// read. Of such an instance that joins, the others hear with their next heartbeat. Until then they leave out only
// entries that concern copies of which no instance of this version ever told.
//
// R19 Hear. Entries also come beside the heartbeats. The step that appends entries tells them to all instances that
// listen to the server, with the Seq of the first entry, the nonce of the entry before the first, and their writer. An
// instance applies an entry that it hears only where both that Seq and that nonce follow on the last entry applied
// (Follower.Hear). So the applied entries are the log up to that Seq, as with a reply. If the Seq alone counted, the
// entry of a server that has taken over would be applied after an entry that this server does not have. The nonces
// would match from that Seq on, and the instance would never apply the entry that this server has in the place of the
// other.
//
// Hearing extends no lease (R7), and brings no term: positions bear the last term that a reply has told, and are
// refused where another term has begun (R3). After applying, the instance tells the writer which entries it has
// applied, by their nonces, if the writer waits for the entries (R13). That message puts nobody on the list, moves no
// heartbeat and lowers nothing. So the message does not register the instance (R8), does not vouch (R16), and does not
// keep an instance from being reaped that R14 gives up. Each of these messages may be lost. A missed entry comes with a
// heartbeat, and the next heartbeat acknowledges the entry on the list, where the waiting writer looks. Versions that
// have no entries told to listeners have them come with heartbeats alone; heartbeats are frequent while an instance of
// such a version is live. An instance of such a version acknowledges the entries of this version by the list.
//
// # What is lost when
//
// "Copies" are the copies of the instances, in memory. Copies on the server are judged by R3 in any case.
//
//   - An instance stops or crashes: its copies are lost, and entries that it owed. Purges wait until the instance is
//     reaped, one lease timeout at most; its fences expire. An instance that stops in order writes the entries that
//     it owes and takes itself off the list.
//   - An instance is frozen, or cut off from the server: nothing is lost. Its lease lapses before the others reap the
//     instance, and all requests go to the origin. On a machine that was suspended with its monotonic clock, the wall
//     clock ends the lease.
//   - No instance can reach the server: nothing is lost. No purge is acknowledged as held. An order that waits for
//     this instance only (WaitLocal) is applied, and owed. All leases lapse.
//   - The server restarts with its data: nothing is lost. The restarted server is another server process: R16 holds
//     for instances without a lease.
//   - The server restarts without its last entries, or a replica takes over that lacks them: any instance that has
//     applied the lost entries writes them again (R9). An entry is gone for good only if no instance that had applied
//     the entry lives, and with these instances their copies are gone. Copies that they had put into the shared tier
//     bear positions that the new term refuses (R3).
//   - The server restarts empty, or is flushed: the instances write the entries of the last minute again from memory
//     (R10). An instance that was out of touch for longer gives up its copies. Open fences live on where they were
//     applied.
//   - The server is set back to an old snapshot: the entries that the instances remember are written again, and
//     everything is confirmed once by the origin (R9c), at the pace of the origin's limit. If no instance lives that
//     has followed the later log, nobody can know that a later log existed: purges since the snapshot are lost, and
//     the copies that they named are used until they expire.
//   - The only server that has heard of a longer lease is lost, and the instance with that lease is cut off: the
//     others wait by the longest lease that is left. The same holds where the instances that have heard of that lease
//     do not come back before a starting instance has waited.
//   - Somebody writes into the log, or over parts of the log: as after a flush, and everything is confirmed once
//     (R17). Repeated writing keeps purges from being confirmed, and leases from being taken.
//   - A partition leaves an old server with some instances while another is promoted for the rest: two servers extend
//     leases, and the promise is broken, unless the old server refuses writes without its replicas before the new one
//     is promoted. The server's settings must see to that; operators find them in the runbook.
//   - All instances stop: the server has the marks and the fences. Copies in the shared tier stay usable.
//
// # Recovery, step by step
//
// After a failover that has lost entries 8 and 9 of a log:
//
//  1. An instance syncs with Applied 9. The server, at Seq 7, replies Diverged, under another name. The instance
//     notes a new epoch (R13, R16); its lease runs on if the lease has not lapsed.
//  2. CompareLogs finds entry 7 in common. Rewind sets Applied to 7, keeps the ledger at its position, and begins a
//     segment in which Seq 8 stands one position after the ledger's last. Rewind queues entries 8 and 9 as owed, and
//     tells their writers that they were lost.
//  3. The next sync succeeds, brings the Term that began at Seq 7, and registers the instance with Owes. No lease is
//     extended (R12).
//  4. Within 400 ms, spread by jitter, one of the instances that had applied 8 and 9 writes them. They come back as
//     entries with Repeats set to the lost nonces, and every instance drops its own pending copies of them.
//  5. The instance owes nothing; the next sync extends the lease. An instance that had no lease waits until all
//     others owe nothing (R16).
//  6. A lease timeout after the epoch began, entries can be confirmed again (R13). A writer that still waits for a
//     lost entry was told so in step 2, and has written the entry again by itself, with another nonce.
//
// After a flush: the first instance gets NoHistory and CreateLog; the others get OtherHistory or also NoHistory. Then
// all fetch a snapshot of an empty log (FetchSnapshot). InstallSnapshot enters the History, and queues the entries of
// the last minute (R10). The rest is as from step 3 on.
//
// After a cut connection, within the entries that the server keeps: the next reply has the missing entries, in pages,
// and the last page extends the lease. Beyond those entries: Gap, FetchSnapshot, InstallSnapshot (R9b), sync.
//
// # Files
//
//	follower.go      an instance: its knowledge of the log, and the calls of its driver
//	hear.go          an entry that comes beside the heartbeats
//	sync.go          a heartbeat: the request, and the reply
//	apply.go         an entry is taken into the ledger, on every instance: purges, writes, fences
//	confirmation.go  when an entry holds everywhere
//	detector.go      which instances have been silent for too long, and are given up
//	fences.go        writes that are under way
//	positions.go     positions here and in the log; ring.go: the last entries; history.go: one life of a log
//	pending.go       entries that this instance has to write and that are not in the log yet
//	grace.go         when to wait before taking a lease, after a start or a loss
//	recover.go       the log was lost, or is another
package fleet
