// Package valkey keeps boards on a server.
//
//	Records          what there is on the server, and how it is reached        records.go, script.go
//	  Submit         records submissions, all of a call or none                submit.go, scripts_submit.go
//	  Run            group commit, and the proof that it holds                 commit.go
//	  Top, Around    what a board shows                                        view.go
//	  Owed, Load     the archive's side of it                                  source.go, reload.go, scripts_archive.go, scripts_load.go
//	  sweep          looks after boards that nobody reads                      tend.go, scripts_tend.go
//	book             which boards are registered, and which records are whole  book.go, scripts_route.go
//	scripts_board.go what the scripts of a board have in common: keys, stamps, members, windows that slide
//
// All keys of a board begin with {PREFIX:lb:ROUTE:BOARD}: with route and board as in a query, whose hash tag is one for all of them; a board
// is on one server of a cluster, and routes have a tag of their own for what is known of all their boards. Everything that has to happen in
// one step is a script. The server's clock is the only one that counts.
//
// Two ways to keep a ranking, by the rules:
//
//   - Only the first K, of best and lowest and of submissions that stand for themselves. The ranking has K members; buckets of a rolling
//     window are cut to K too, and when one leaves that had a member of the ranking, the ranking is made anew from the leading members of the
//     others, until there are K. Whoever is among the first K of the window is among the first K of the bucket that his best is in, since all
//     are in one order: nobody is lost.
//   - Everybody, of sum and last, and where all have ranks. Each player has an entry of what will count when something leaves: of best the
//     later submissions that nothing later is better than, of sums a part for each bucket. An index says who has something to lose when.
//
// The window slides in each script that reads or writes, before it does anything: what has left is never shown, even if nobody looked for
// a year. So much as one script should not do at once is done in several, each in its turn between those of others.
package valkey
