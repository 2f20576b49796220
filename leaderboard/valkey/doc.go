// Package valkey keeps boards on a server.
//
//	Records          the boards on the server, and the connection              records.go
//	  Submit         records submissions, all of a call or none                submit.go, scripts_submit.go
//	  Run            group commit, and the proof of durability                 commit.go
//	  Top, Around    the places of a board                                     view.go
//	  Owed, Load     the archive's view of the records                         source.go, reload.go, scripts_archive.go,
//	                                                                           scripts_load.go
//	  sweep          tends boards that nobody reads                            tend.go, scripts_tend.go
//	book             which boards are registered, and the incarnation          book.go, scripts_route.go
//	scripts_board.go the common part of board scripts: keys, stamps, members, sliding windows
//
// All keys of a board begin with {PREFIX:lb:ROUTE:BOARD}, with route and board escaped as in a query. They share one
// hash tag, so that a board is on one server of a cluster. A route has a hash tag of its own for the data about all its
// boards. A script does everything that has to be atomic. Only the server's clock counts.
//
// The rules decide between two ways to store a ranking:
//
//   - Only the first K, for best and lowest, and for submissions that stand for themselves. The ranking has K members.
//     The buckets of a rolling window are cut to K too. When a bucket leaves that had a member of the ranking, the
//     ranking is rebuilt from the leading members of the other buckets, up to K. No player is lost: all members are in
//     one order, so a player among the first K of the window is among the first K of the bucket that has the player's
//     best score.
//   - All players, for sum and last, and where all have ranks. Each player has an entry with the values that count once
//     something leaves: for best, the later submissions that no later submission beats; for sums, a part for each
//     bucket. An index says which players lose something, and when.
//
// Each script that reads or writes slides the window first. So a read never shows an entry that has left, even if
// nobody has looked for a year. If a slide is too large for one script, several scripts do it, and scripts of others
// run in between.
package valkey
