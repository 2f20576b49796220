// Package writebehind holds the rules of writes that are answered before the origin answers: when two requests are the
// same write, what follows from each try, and which write may begin. The package also has the loop that carries the
// rules out. A queue stores the writes; package valkey has the queue on a server.
//
//	Write, Encode, Decode  one accepted request, as stored                      write.go
//	State, Record          the state of a write                                 record.go
//	Rules                  the settings of a route                              rules.go
//	Identity               an idempotency key, and the request it stands for    identity.go
//	judge                  what follows from a try                              judge.go
//	lanes                  the order: one of each key at a time, oldest first   lanes.go
//	Sealer                 encryption of requests against readers of the server seal.go
//	Flusher                the loop of one instance                             flusher.go, attempt.go
//
// Invariants:
//
//   - No write of a key begins before the write before it is done, dropped, or a dead letter that does not block.
//   - No owner begins a try after its lease has ended by the owner's clock, which is earlier than by the server's. The
//     server refuses whatever the owner then reports about the write, because the owner's token is no longer the token
//     of the partition.
//   - An accepted write stays in the queue until its state is done, or an operator has dropped it.
package writebehind
