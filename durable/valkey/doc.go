// Package valkey runs scripts on a server, and has the server prove that what they have written is as safe as is asked before anybody is told.
//
//	Script      run by its hash                                        script.go
//	Committer   calls that are proved safe, as many at once as wait    committer.go
//	proof       what WAIT and WAITAOF say of a connection              proof.go
//	Check       what keeps a server from proving anything              check.go
//
// Invariant: a call is answered with no error only when the server has run it, and has then said on the same connection that what was
// written there is where the call asked for it to be.
package valkey
