// Package valkey runs scripts on a server, and has the server prove that their writes are as safe as their caller
// asks before the caller is answered.
//
//	Script      a script that is run by its hash                       script.go
//	Committer   calls that are proved safe in groups                   committer.go
//	proof       the server's answers to WAIT and WAITAOF               proof.go
//	Check       reasons why a server cannot prove anything             check.go
//
// Invariant: a call is answered without an error, and with Unproved nil, only when the server has run the call, and
// has then said on the same connection that the writes before are where the call asked for them to be.
package valkey
