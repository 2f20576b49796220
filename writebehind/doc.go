// Package writebehind holds the rules of writes that are answered before the origin is: what makes two of them one, what becomes of
// one after each try, which may go now, and the loop that carries this out. Where the writes are kept is the business of a queue;
// package valkey has the one on a server.
//
//	Write, Encode, Decode  one accepted request, as it is kept                  write.go
//	State, Record          how far it is                                         record.go
//	Rules                  what a route says about it                            rules.go
//	Identity               the idempotency key, and what it stands for           identity.go
//	judge                  what follows from a try                               judge.go
//	lanes                  the order: one of each key at a time, oldest first    lanes.go
//	Sealer                 what of a request the server cannot read              seal.go
//	Flusher                the loop of one instance                              flusher.go, attempt.go
//
// Invariants:
//
//   - Of one key no write begins before the one before it is done, dropped, or a dead letter that does not block.
//   - No owner begins a try after its lease has run out by its own clock, which is earlier than by the server's; whatever it then
//     says of the write is refused, because its token is no longer the partition's.
//   - What is accepted stays until its state is done, or somebody has dropped it.
package writebehind
