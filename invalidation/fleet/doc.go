// Package fleet is the protocol by which several instances follow one log of invalidations.
//
// The log is kept by a server. Each instance has a Ledger that mirrors the log, a Lease that says until when the ledger may be
// trusted, and a Follower that feeds the one and extends the other: it says what to ask the server, what an answer means, and
// what to write. The package does no I/O, has no clock, no dice and no goroutine. Whoever drives a Follower carries the
// questions and gives the time, so that the same code runs against a server and in a simulation.
//
// # Messages
//
// A Question is a heartbeat: it asks for what is new, and says what has been applied. The Answer says which server this is, how
// the log stands to the position of who asks (Status), which entries follow (invalidation.Record), and which instances are live
// (Peer). Questions are asked one after another, and only the answer to the latest counts: an answer to an earlier one says
// nothing of now. What has to be done after an answer is a Step:
//
//   - Rest: ask again after a heartbeat, or when something is known to be new.
//   - AskAgain: there is more, or what was applied has to be acknowledged, which the next question does.
//   - Found: there is no log; begin a History on the server.
//   - Fetch: it is another log, or it does not reach back as far; read a Snapshot and hand it to Load.
//   - Compare: entries that were applied are not there, or others are in their place; hand the places of the log to Common until
//     one is found, then call Diverge.
//
// Due are the records that this instance has to write: what was lost or queued, what has to be repeated, and fences to be
// renewed or to be ended in place of a writer that has died. They are handed out again unless they come back in the log. What
// several instances would each write bears one key for all of them (Record.Repeats) and is due at a different moment for each:
// the first to do it spares the others, and all but the first are idle.
//
// # Rules
//
//   - Trust. An instance trusts its ledger without news from the log only while its lease holds.
//   - Extend. A lease counts from when the question was sent whose answer completed the ledger, less the margin. An answer that
//     does not bring everything extends nothing. The margin is for clocks that run at different rates: whoever holds a lease
//     stops that much earlier, and whoever waits for its end waits that much longer.
//   - Owe. No lease is taken while entries wait to be written that others may not have heard of.
//   - Confirm. An entry holds on every instance once each that is live has applied it, or has not been heard of for longer than
//     its lease (Confirmation). An instance that was registered with a server from before this one has to have come over, or
//     lost its lease, before its silence means anything.
//   - Reap. An instance is silent when its heartbeat has not changed for as long as a lease lasts and the margin, by the clock
//     of who watches. After a pause in which the watcher has heard nothing itself, the silence of the others begins anew: they
//     may only not have been heard. Silent instances are taken off the list, if they have not been heard of since.
//
// # Positions
//
// A Token is a position of this process alone: it counts also what was only ever applied here, and goes on where a shared log
// has lost its end, so that positions of the ledger only grow. Instances tell each other positions as Shared: the History, the
// Seq of an entry and its nonce. A Chart translates, and vouches for no position of another history, none that was not applied
// here yet, and none of an entry that is not in the log any more.
//
// A History names one life of the log: a log that lost its past begins another. Within it a Term is one server's time as keeper
// of the log. With every server that takes over, entries of the one before may be lost, and others may come to stand in their
// places: a position counts only up to where the next term began. Terms are named by chance, not counted, because a server may
// lose also what term it is in. Nonces are drawn anew for every attempt to write an entry, so that no two logs match by accident.
//
// # Fences
//
// A fence stands for its Life, and its writer renews it while its write is at the origin (Hold). Where the writer gives no sign
// of life the fence ends by itself, and any of the others writes its end; Abandon leaves it to end so after a while. The entry
// that ends a fence tells up to where something else had named its members, across renewals and snapshots, whose marks stand
// over what they found (Event.Quiet).
//
// # Losses and recovery
//
// What this instance has applied stays applied, whatever the server loses, and is written again for the others; an Event
// tells that it was Lost. A lost beginning of a fence is written again as an invalidation, since its end may be in the log
// already and then it would stand for ever.
//
//   - A gap. A Snapshot brings the marks, the fences that stand, the notices, and the floor below which copies cannot be judged.
//     It need not be of one moment: what has changed since its Seq comes with the entries that follow.
//   - The log has lost its end. The follower goes back to the last place in common and follows the log anew from there. Without
//     such a place nothing is known any more: the lease is revoked, and all copies become unusable.
//   - Another server answers. Entries may have been lost, and an instance whose lease has lapsed does not know which. It takes
//     no lease for as long as another may hold one, nor before every other on the list has been heard of and has nothing more
//     to write.
//   - Another history. What the one before has invalidated within the last minute is written into the new one, and what was
//     announced. An instance that was out of touch waits for the others to do so; it gives up all copies where one of them does
//     not appear any more, or where it was out of touch for longer than the others remember.
//   - Entries that could not be written. They were applied here (ApplyHere) and are written as soon as the log can be reached
//     (Queue). Too many become one that invalidates everything.
package fleet
