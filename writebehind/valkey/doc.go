// Package valkey keeps writes that wait for the origin in streams on a server.
//
//	Queue            the writes on the server, and the connection         queue.go
//	  Append         group commit, and the proof of durability            append.go
//	  Tend, Watch    partitions: their owners, and their new entries      partitions.go
//	  Begin, Settle  what an owner records about a write, by its token    partitions.go
//	  Find, Last     what clients and operators ask                       look.go
//	  Register       the routes in force, and earlier ones                look.go
//	scripts.go       everything that has to be atomic
//
// All keys begin with {PREFIX}:wb. They share one hash tag, so that a script may touch all keys, and so that bounds
// apply to all partitions together:
//
//	:m      hash: seq the last sequence, tok the last token
//	:q:P    stream of a partition: <sequence>-0 → i id, k key; and c for a decision of an operator
//	:o:P    "<instance> <token>" of the owner, while the lease lasts
//	:w:ID   hash: the record of the write, and d its request, sealed
//	:i:NAME "<payload> <id>": the request that an idempotency key stands for
//	:k:KEY  list: ids of the key's writes that are not done, in their order
//	:h:KEY  until when no write of the key begins, because the origin may be at work on a try; until then
//	:x:KEY  list: ids of the key's dead letters that do not block the key
//	:r      hash: route → how many of its writes are not done
//	:d      sorted set: ids of dead letters by sequence
//	:l      sorted set: instances that flush → when they last renewed their leases
//	:n      hash: route, as a text → since when it has been known, and when it was last in force
//
// The streams have no consumer groups. An entry stays in its stream until its write is done. So an owner that takes a
// partition over reads the partition from the beginning, and meets first the writes that the earlier owner had begun. A
// list of deliveries would only repeat this information.
package valkey
