// Package valkey keeps writes that wait for the origin in streams on a server.
//
//	Queue            what there is on the server, and how it is reached   queue.go
//	  Append         group commit, and the proof that it holds            append.go
//	  Tend, Read     partitions: their owners, what is new in them        partitions.go
//	  Begin, Settle  what an owner says of a write, by its token          settle.go
//	  Find, Last     what clients and operators ask                       look.go
//	  Register       which routes there are or were                       registry.go
//	scripts.go       everything that has to happen in one step
//
// All keys begin with {PREFIX}:wb, whose hash tag is one for all, so that a script may touch each of them, and the bounds are those of all partitions:
//
//	:m      hash: seq the last sequence, tok the last token
//	:q:P    stream of a partition: <sequence>-0 → i id, k key; or c, for what an operator has decided
//	:o:P    "<instance> <token>" of the owner, for as long as its lease lasts
//	:w:ID   hash: the write's record, and d its request, sealed
//	:i:NAME "<payload> <id>": what an idempotency key stands for
//	:k:KEY  list: ids of the key that are not done, in their order
//	:x:KEY  list: ids of the key that are dead letters and do not block it
//	:r      hash: route → how many of it are not done
//	:d      sorted set: ids of dead letters by sequence
//	:l      sorted set: instances that flush → when they were last heard of
//	:n      hash: route, in words → since when it has been known, and when it was last in force
//
// There is no consumer group. An entry is in the stream for as long as it is not done, so that whoever takes a partition over reads it from
// its beginning and has what its owner before had begun first; a list of what was delivered to whom would say the same once more.
package valkey
