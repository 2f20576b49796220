// Package fleet is the protocol by which several instances of the proxy follow one log of invalidations, so that a purge that was
// acknowledged holds on all of them. This comment is the protocol's document. The package is its pure part: it does no I/O, and
// has no clock, no dice and no goroutine. A driver carries its messages and gives it the time, so that the same code runs against
// a server (package invalidation/valkey) and in a simulation (the tests of this package).
//
// The promise: no request that arrives at any instance after a purge or a write was acknowledged is answered from a copy that was
// fetched from the origin before the purge or the write.
//
// # Terms
//
//   - Member: what copies can be invalidated by. A copy has several: its key, each tag, each path prefix, its route, and the
//     member that every copy has. Members are hashed to an invalidation.ID.
//   - Log: the ordered list of everything that makes copies unusable, kept by a server for all instances.
//   - Entry: one item of the log (invalidation.Record). Its Seq counts from 1 without gaps. Its nonce is drawn anew for every
//     attempt to write it, so that equal nonces at equal Seqs mean equal logs up to there (Raft calls this log matching).
//   - Mark: for one member, the position of the last entry that has named it.
//   - Strength: what an entry does to copies. Hard: they are unusable. Soft: they are stale. Confirm: they may have changed, and the
//     origin has to confirm them before they are used; where it fails they may stand in as stale ones do, but not on a route whose
//     writes are fenced.
//   - Ledger: the marks, in the memory of each instance (invalidation.Ledger). An instance applies an entry by setting the marks
//     of its members, in the order of the log.
//   - Floor: the position at or below which marks may have been forgotten, to bound memory. Copies from before the floor are
//     refused.
//   - Position, token: how far a ledger has come, as a number of this process (invalidation.Token). Token positions only grow. A
//     LogPosition (History, Term, Seq, nonce) is the same for all instances; Positions translates between the two.
//   - Stamp: the token of a copy, taken before the request that fetched it went to the origin.
//   - Lease: until when an instance may use copies without news from the log (invalidation.Lease). Chubby's clients keep the same
//     kind of lease on their caches. Its length is configured for each instance, which tells it with every heartbeat. The lease
//     timeout of an instance is its lease and the margin: after that long without a sign of life the instance holds no lease, by
//     whatever clock. The lease timeout of the fleet is the longest of them. The server keeps the longest lease with the log, for
//     those who come when its instance is gone; a version that does not tell its lease counts as invalidation.MaxLease, and so
//     does whatever claims a longer one.
//   - Margin: 5 % of a lease and at least 50 ms, for clocks that run at different rates. The holder of a lease stops a margin
//     early, and an instance that waits for the end of the lease waits a margin longer. No two clocks are ever compared.
//   - Heartbeat: a SyncRequest. Its Beat counts up; others see the instance live by seeing the number change.
//   - Live, suspected, reaped: an instance is live while the server lists it. Another instance suspects it when the heartbeat has
//     not changed for the lease timeout of the one that is watched, and reaps it by taking it off the list for that reason.
//   - Fence: a mark that stays open around a write, from before the origin sees the write until its outcome is known. Meanwhile
//     copies with a member of the fence are neither used nor stored. Its writer is the instance through which the write goes.
//   - Owed entry: an entry that this instance has applied and that no other may know of, because the server could not be reached
//     or has lost it.
//   - History: the name of one life of the log, 12 random bytes. A log that lost everything begins with another History, and names
//     the one that its first instance had followed (Snapshot.Previous).
//   - Term: one server's time as keeper of the log within a History. It begins at a Seq, and bears the name of the server's
//     process. The terms of a log are its lineage: two positions compare only within it.
//   - Epoch: the time since all instances have had reason to be registered with the present server, in the present log. It has no
//     number; each instance keeps the moment of its start by its own clock.
//   - Quorum: who must agree. Here that is every live instance: any single one may be the only one that knows an entry, or the one
//     that still uses a copy. Instances that are not live are waited for by time, not by vote.
//
// # Names
//
// An entry names members, and two things beside them, each of which a version that does not know it does without, and then takes more
// copies than are meant and never fewer. Both stand where those versions read a notice, in entries that announce none.
//
//   - Older (Record.Older): members that this version applies to nothing. Versions before it know copies of APIs that are sent a Host of
//     their own by one name for all of these APIs. They find theirs by that name in the entries of this version; the copies of this
//     version bear it for their entries; among instances of this version it makes nothing unusable. Copies of either version in the
//     shared tier are not found by the other: their route's fingerprint differs.
//   - Spared (Record.Spared): copies that have one of these members are left alone. A writer that has named very many URLs (Crowd)
//     names the prefix that they begin with, and spares the prefixes of other routes below. The marks at the server know of nothing
//     spared: an instance that reads a snapshot takes them in whole.
//
// # Messages
//
// An instance sends one SyncRequest after another and waits for each reply; only the reply to the latest counts. A request says
// which log and term the instance follows (History, Term), the last entry applied (Applied, Nonce), whether the instance owes
// entries (Owes), how long its lease is, for how long it has held one in this term (Lease, Held), the edition of the list that it knows, in any other
// of which it has held none, and the longest lease that any instance may hold that it has heard of, until the epoch has settled: the server may be
// one that has not (Longest). The server must carry it out in one atomic step, which writes: a server that was demoted, or that has lost its
// replicas, refuses writes, and so extends no lease. In this order the server
//
//  1. compares the logs: it has none (NoHistory), or another History (OtherHistory). With either the reply ends here;
//  2. begins a Term at its last Seq, when another server process has kept this log before;
//  3. compares the positions: its log ends before Applied or has another nonce there (Diverged), or is trimmed beyond Applied
//     (Gap). With either the reply ends here, and bears the name of the server beside the status;
//  4. registers the instance as a Peer: the acknowledgement of all entries up to Applied;
//  5. returns the entries after Applied, as many as fit, the last Seq, the Floor, the terms if the latest is not the one of the
//     request, the live instances, the edition of their list (R13), and the longest lease.
//
// A server that does not name its process extends no lease: without terms, what a failover has lost could not be told.
//
// The Step that Receive returns is what the driver does next:
//
//   - Idle: sync again after a heartbeat (a sixth of a lease), or when the server hints at a new entry.
//   - SyncAgain: sync at once: there are more entries, or the ones just applied have to be acknowledged.
//   - CreateLog: have the server begin a History. In one step the server clears whatever is left of another log, unless a log
//     exists.
//   - FetchSnapshot: read History, Previous, Seq, nonce, Floor, all marks, open fences and notices; call InstallSnapshot.
//   - CompareLogs: read the log backwards, look for an entry in common (LastCommon), call Rewind.
//
// Appending entries is one atomic step too: the server compares the History, gives the next Seqs, appends, sets the marks of the members, which are what a
// snapshot reads, tells all who listen, and says who is on the list. With replicas the writer waits until they have the entry before the entry counts as
// written. An attempt whose outcome is unknown is made again as another entry with another nonce: invalidating twice is harmless, while finding the
// first attempt in the log would prove nothing about the replicas.
//
// Due are the records that this instance has to write of its own accord; they are handed out again every second until they come
// back in the log. A record that several instances would each write, such as the end of a dead writer's fence, bears the same key
// for all (Record.Repeats) and is due at a different moment for each: the first to write spares the others.
//
// # Rules
//
// R1 to R6 and R11 concern who uses the ledger, on one instance or on many; the others are this package's.
//
// R1 Token. An instance takes Ledger.Token immediately before it sends a request to the origin, also to renew a copy, to
// revalidate one, and to fetch after a write. Without the token: a fetch reads the origin, a change and its purge come, and the
// response of before the change is stored after the purge, to be used until it expires.
//
// R2 Store. When the last byte is there, the one who fetched asks Ledger.Admits with the token and all members, those that only
// the response has named included; the copy is stored only if none was invalidated after the token, none is fenced, and the token
// is not below the floor. Asked at the beginning, when the tags of the response are not known, the ledger would miss a purge by
// tag.
//
// R3 Use. Before a copy is used, Ledger.Check compares its stamp with the marks of all its members. A copy from the shared tier
// bears a LogPosition, and Positions.FromLog must vouch for that first: same History, Seq already applied here, the term had not
// ended before that Seq, the same nonce there; and the instance owes nothing. Otherwise a copy stamped in a part of the log that a
// failover has lost would pass for newer than an entry that now stands at a lower Seq. And where a server comes back with a branch of
// the log that ends before a purge which was applied here, the entries of that branch are applied now, at later positions of the
// ledger than the purge, and copies stamped there would outlive it until the purge is in the log again.
//
// R4 Join. A request that arrived when the ledger stood at p may share a fetch with token t only if nothing among the copy's
// members was invalidated between t and p, which is Ledger.Since, asked anew when the response has named its tags. Otherwise the
// request arrives after a purge and gets what was fetched before.
//
// R5 Next flight. A request that arrives while no lease is held, or while one of the members that it knows is fenced, may share only a fetch
// that is sent to the origin after the request arrived; one fetch under way and one waiting are kept for each key. A fetch from before may have missed a purge that
// this instance has not applied; a fetch for each request would be the stampede that the cache is there to prevent.
//
// R6 Lease. A request looks at the lease once, with a clock that it reads after its arrival. Without a lease copies are not used,
// except by routes that allow stale ones. Read before the arrival, the clock of a process that was frozen in between would show a
// lease that others have waited out.
//
// R7 Apply, then extend. On a reply the follower applies all entries, then extends the lease to when the request was sent, plus a
// lease, less the margin. A reply that does not bring everything extends nothing. Extended first, the lease would cover requests
// that find a ledger without the entries. Counted from the reply's arrival, a slow reply would carry the lease beyond the moment
// at which others, who saw the heartbeat when the server did, take this instance for dead.
//
// R8 Join the fleet. A new instance fetches a snapshot, then syncs, which registers it and brings all entries after the snapshot,
// applies these, and only then takes a lease. Registration and the reading of the entries are one atomic step: an entry appended
// between the two would be confirmed without this instance, and would not be applied by it.
//
// R9 Lost end. When the server's log has lost entries that were applied here, the follower goes back to the last entry in common
// (Rewind). The lost entries stay applied in this ledger, whose positions go on growing, and are written again for those who had
// not applied them, each with a new nonce and with a key derived from the lost entry: several instances know the same key, one
// writes. With its old nonce an entry could land at its old Seq after different entries, and two logs that differ would match. A
// lost beginning of a fence is written as a plain invalidation: its end may already be in the log, and the fence would never end.
// Without an entry in common the lease is revoked, all copies become unusable, and the log is followed from a snapshot.
//
// R9b Gap. An instance that has missed more than the server keeps installs a snapshot of the same log: marks beyond what it has
// applied, the floor, and the open fences; fences that are not open there end here. Copies stay and are judged by the new marks.
//
// R9c Everything. Marks that are older than the entries which this instance remembers cannot be written again one by one. Where a
// log may lack them, because there is no entry in common, or because its History is not known to have come after the one that was
// followed, an entry that has everything confirmed is written into it, and is owed. The copies that a server brings back with an old
// log may have been purged since; made unusable at once, they would leave the origin to carry everybody.
//
// R10 Another history. When the server's log has another History, everything of the old log that was applied within the last
// minute is written into the new one, with the standing notices. LogPositions of the old History are refused (R3). Of a History that
// names the old one as its Previous it is known that it began later; in any other R9c holds: it may be the past, restored. An instance
// that still held its lease keeps its copies: it had applied everything. One without a lease waits as in R16, and gives up all
// copies after a time out of touch that is longer than the others remember, or when an instance that was live in the old log does
// not appear in the new one: that instance may have taken the only record of a purge with it.
//
// R11 Purged is not expired. A purged copy answers nothing: not a request while it is being revalidated, not one whose fetch has
// failed, not a 304. Only a soft purge leaves it as a stale copy. A renewal that began before the purge is refused by R2.
//
// R12 Owe. An instance takes no lease while it owes an entry. After an outage the others would otherwise confirm that all is well
// with a server that lacks a purge which this instance has applied alone.
//
// R13 Confirm. The instance that has written an entry acknowledges the entry when every live instance has applied it, and a lease timeout of the fleet has
// passed since the epoch began (Confirmation). It is that of the fleet, since an instance that the server does not know of may have a longer lease than
// the writer. An instance that does not apply the entry holds up the others until it is reaped. Without the second condition a server that has just
// taken over, whose list is still empty, would confirm at once, while instances on the old server use their leases to the end.
//
// The list has an edition, which is another after somebody has taken instances off or put them on who is none: the server counts those that
// register, leave and are reaped, and begins an edition where there are more or fewer in any step that reads the list. Who learns of another edition
// begins an epoch too: those that were taken off may hold leases. Neither does it vouch for the time before (R16), nor is it vouched to.
//
// Who is live, one reply says, or the list as it was in the step that appended the entry (Witness), with the writer on it, in the edition of the last reply: whoever registers after that step is told of
// the entry by the reply that registers it, and takes no lease before it has applied it (R8). That list counts only where it is of the server that
// the last reply came from; of another the epoch is not known. Who has applied the entry, the list of a reply says, or the instance itself
// (R19). It names the entry by its nonce, and not by its Seq: an instance that has applied the entry on a branch of the log that was lost has no
// copy from before it, and one that has another entry at that Seq may.
//
// R13b Bound. An instance on the list that has not applied the entry is waited for until its lease timeout has passed since the entry was
// seen in the log, and no longer, whether or not its heartbeat changes. By R7 a lease comes from a reply that brings everything. A reply
// to a request that the server has carried out after the entry brings the entry; one from before was sent before, and so was the lease
// that it gave counted. Waited for as long as it shows signs of life, an instance that cannot apply anything would hold up every purge, and
// so would whatever somebody has written on the list.
//
// R14 Reap. An instance may be taken off the list by who has watched its heartbeat not change for its own lease timeout, by
// the watcher's clock, and only if the list still says what the watcher saw. A watcher that got no replies for half a lease begins to
// watch anew: it may have been the one that was silent. Any shorter wait could reap an instance that holds a lease, and confirm a
// purge that it has not applied.
//
// R15 Fence. The writer appends the beginning of a fence before the origin sees the write, and its end, with the members that the
// response has named, after the origin has answered; only then, and confirmed as in R13, is the client answered. If the writer
// dies in between, nobody knows whether the origin has changed: the fence keeps copies away. The writer appends the beginning
// again every third of a FenceLife; a fence that is not renewed expires, and any instance appends its end. A write with unknown
// outcome has its fence abandoned: renewed once more with the time that the origin may still take, and not again. An end may say
// that nothing came of the write (Record.Life is not zero): copies are then as before, if nothing else has named the members since
// the first beginning. The end of a fence tells the writer how far back nothing else has named them (Event.Quiet), across renewals
// and snapshots, which set the marks of the members anew.
//
// The client need not wait for the end where the beginning was confirmed, as in R13, and stands (Follower.Conclude): then no instance that
// holds a lease uses a copy of the members until it applies the end, and a fetch that it began before that is neither stored (R2) nor shared
// with who came after the fence did (R5). The fence stands where the writer holds its lease, by a clock read after the origin's answer, in
// the epoch in which the beginning was confirmed; where less than a third of a FenceLife has passed since the beginning was sent, so that
// nobody has taken the writer for dead; where the end names nothing else; where no member is of those that only an answer names, since who
// asks for such a copy does not know that it is fenced; and where all are of a version that shares no fetch while a member is
// fenced. An instance that takes a lease from a log which has lost the beginning waits for a lease timeout (R16), and by then the
// writer's lease has lapsed, or it has come over, which begins another epoch. One that goes over to such a log with its lease keeps the fence:
// only in the log that it was begun in does the lack of a fence say that it has ended. The end is written soon, and again until it is in the
// log; if the writer dies before, the fence expires.
//
// R16 Grace. When another server answers, entries of the one before may be lost, and an instance whose lease has lapsed cannot
// know which. It takes no lease for a lease timeout, nor before the heartbeat of each live instance has changed and the instance
// owes nothing. An instance that holds its lease goes on. The same holds after R9 and R10, and for every newcomer: it knows
// nothing of what a log may have lost, and for how long the server has been up says nothing of that, since a replica that was up all
// the time may have taken over. The wait ends at once when another instance vouches: one whose heartbeat has changed meanwhile, and
// says that it has held its lease in the present term for a lease timeout of the fleet. What was confirmed before the term that
// instance had applied, and has written again if it was lost; who had not come over to the term by then has no lease. A heartbeat that
// does not change may stand on the list of a server that has come back from before. An instance on the list that has not spoken to the
// server in its present term, and goes off the list instead, may be the only one that knew an entry, and may be cut off: then
// everything is confirmed (R9c) before the lease is taken. So it is where an instance on the list neither settles nor goes off it within
// three lease timeouts of the fleet: its own copies are given up, and what that one may owe can concern no other. A heartbeat vouches
// only if it is higher than it was; where signatures are required, only if it is signed.
//
// R17 Damage. A log is intact if the last item of its list stands at its position, if its items are entries, and if there are as many items as positions
// from the first to the last. Otherwise something else than this program has written there, and the server, which counts on from the foreign item,
// refuses every entry. No snapshot and no reply is taken from a damaged log; the server begins another, which does not name the damaged one as its
// Previous. By R9c everything is confirmed once, since it is not known what else was overwritten, or is gone. Heartbeats check for damage. The step
// that appends does not check, as long as the server refuses nothing: an entry that is appended behind a foreign item is told to all (R19), and is among
// the marks, so that it holds on every instance as in an intact log; and the number of items shows the foreign one later. Marks, fences and notices
// are counted by the server in the same way: an instance that starts would otherwise not hear of those that are missing.
//
// R18 Tell. A write needs no entry if no copy can bear what it names. Before an instance has copies it tells in a notice, which stands as long
// as the log, of which URLs its routes can have copies, and takes no lease until that is confirmed as in R13 (Withhold). Who leaves
// out an entry looks at all notices that it has applied after the origin has answered the write, and then at its lease, by a clock read
// after that. While it holds one, no notice is confirmed that it has not applied; so whoever may have a copy that it does not know of has
// none yet that may be used, and what is fetched from then on has seen the write. Asked before the write is sent, the notice could be
// confirmed, and a copy fetched, while the write is at the origin.
//
// Copies outlast configurations, on the server. So a notice begins with the word that it begins: once that is confirmed, nothing is left
// out that concerns its routes. What was left out before, by who knew of others only, is made up for by an entry that names the
// routes; where nothing else had been told when the notice was applied, there is none. Only then the notice says that it is whole, and
// whoever comes with the same routes later goes on with their copies. Without the two words an instance that comes between the notice
// and the entry would use copies from before. A notice is never withdrawn: its instances may all be stopped, and come back.
//
// Where a log takes the place of one in which it stood, the instance gives its lease back, and tells again. A version that tells of nothing is
// known by its heartbeats, which count from 1 and not from 2^48: while one is on the list, or nothing was told, or something that cannot
// be read, every write has its entry. Of one that joins, others hear with their next heartbeat; until then they leave out what concerns
// only copies that no instance of this version ever told of.
//
// R19 Hear. Entries also come beside the heartbeats: the step that appends them tells them to all who listen to the server, with the Seq of the
// first, the nonce of the entry before it, and their writer. An entry that is heard is applied only where both its Seq and that nonce follow
// on the last one applied (Follower.Hear). So what is
// applied is the log up to there, as with a reply: by its Seq alone, the entry of a server that has taken over would be put on top of one
// that it does not have, the nonces would match from there on, and what it has in the place of that one would never be applied. No lease
// comes of it (R7), and no term: positions bear the last term that a reply has told, and are refused where another has begun
// (R3). Then the instance tells the writer which entries it has applied, by their nonces, if the writer waits for that (R13). It puts nobody
// on the list, moves no heartbeat and lowers nothing, so that it neither registers (R8), nor vouches (R16), nor keeps
// from being reaped whom R14 gives up. Each of these messages may be lost: what was missed comes with a heartbeat, whose successor
// acknowledges it on the list, and who waits looks there. The entries of a version that tells nobody come with heartbeats, which are frequent
// while such an instance is live; those of this version are acknowledged by it on the list.
//
// # What is lost when
//
// "Copies" are those of the instances, in memory. Copies on the server are judged by R3 in any case.
//
//   - An instance stops or crashes: its copies, and entries that it owed. Purges wait until the instance is reaped, one lease
//     timeout at most; its fences expire. An instance that stops in order writes what it owes and takes itself off the list.
//   - An instance is frozen, or cut off from the server: nothing. Its lease lapses before the others reap it, and all requests go
//     to the origin. On a machine that was suspended with its monotonic clock, the wall clock ends the lease.
//   - The server cannot be reached by anyone: nothing. No purge is acknowledged as held. An order that waits for this instance
//     only (WaitLocal) is applied, and owed. All leases lapse.
//   - The server restarts with its data: nothing. It is another server process: R16 for those without a lease.
//   - The server restarts without its last entries, or a replica takes over that lacks them: the lost entries are written again by
//     any instance that has applied them (R9). An entry is gone for good only if no instance that had applied it lives, and with
//     these instances their copies are gone. Copies that they had put into the shared tier bear positions that the new term
//     refuses (R3).
//   - The server restarts empty, or is flushed: as before, from the memory of the instances (R10), for the last minute; who was
//     out of touch for longer gives up its copies. Open fences live on where they were applied.
//   - The server is set back to an old snapshot: what the instances remember is written again, and everything is confirmed once by
//     the origin (R9c), at the pace of the origin's limit. If no instance lives that has followed the later log, nobody can know
//     that there was one: what was purged since the snapshot is lost, and its copies are used until they expire.
//   - The only server that has heard of a longer lease is lost, and the instance with that lease is cut off: it is waited for by the
//     longest lease that is left. So it is where those that have heard of it do not come back before an instance that starts has waited.
//   - Somebody writes into the log, or over parts of it: as after a flush, and everything is confirmed once (R17). Done again and again
//     it keeps purges from being confirmed, and leases from being taken.
//   - A partition leaves an old server with some instances while another is promoted for the rest: two servers extend leases, and
//     the promise is broken, unless the old server refuses writes without its replicas before the new one is promoted. The
//     server's settings must see to that; operators find them in the runbook.
//   - All instances stop: the server has the marks and the fences. Copies in the shared tier stay usable.
//
// # Recovery, step by step
//
// After a failover that has lost entries 8 and 9 of a log:
//
//  1. An instance syncs with Applied 9. The server, at Seq 7, replies Diverged, under another name. The instance notes a new epoch
//     (R13, R16); the lease runs on if it has not lapsed.
//  2. CompareLogs finds entry 7 in common. Rewind sets Applied to 7, keeps the ledger at its position, begins a segment in which
//     Seq 8 stands one position after the ledger's last, queues entries 8 and 9 as owed, and tells their writers that they were
//     lost.
//  3. The next sync succeeds, brings the Term that began at Seq 7, and registers the instance with Owes. No lease is extended
//     (R12).
//  4. Within 400 ms, spread by jitter, one of the instances that had applied 8 and 9 writes them. They come back as entries with
//     Repeats set to the lost nonces, and every instance drops its own pending copies of them.
//  5. The instance owes nothing; the next sync extends the lease. An instance that had no lease waits for this of all the others
//     (R16).
//  6. A lease timeout after the epoch began, entries can be confirmed again (R13). A writer that still waits for a lost entry was
//     told so in step 2, and has written the entry again by itself, with another nonce.
//
// After a flush: NoHistory, CreateLog by whoever is first, OtherHistory or the same for the others, FetchSnapshot of an empty log;
// InstallSnapshot enters the History, queues what the last minute had (R10), and the rest is as from step 3 on.
//
// After a cut connection, within what the server keeps: the next reply has the missing entries, in pages, and the last page
// extends the lease. Beyond that: Gap, FetchSnapshot, InstallSnapshot (R9b), sync.
//
// # Files
//
//	follower.go      an instance: what it knows of the log, and what it is asked
//	hear.go          an entry comes by itself
//	sync.go          a heartbeat: what is requested, and what a reply brings
//	apply.go         an entry is taken into the ledger, on every instance: purges, writes, fences
//	confirmation.go  when an entry holds everywhere
//	detector.go      who has not been heard of, and is given up
//	fences.go        writes that are under way
//	positions.go     positions here and in the log; ring.go: the last entries; history.go: one life of a log
//	pending.go       entries that were sent and not seen yet
//	grace.go         what is not trusted yet after a start or a loss
//	recover.go       the log was lost, or is another
package fleet
