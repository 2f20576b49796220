// Package leaderboard holds the rules of boards: what a submission is, what a player's scores come to, in which order players stand, and
// which part of time a board is about. It is pure: package valkey keeps the records, package archive moves them to PostgreSQL, package api
// answers requests, and the model of the tests is made of the same rules.
//
// Terms:
//
//   - A board is one ranking, named by its route and by what the route's template makes of the path.
//   - A submission is one score of one player. Its time is that of the server that keeps the records, never that of a client or a proxy.
//   - A bucket is a span of time of a board in which submissions are gathered. It is closed when the server's clock has passed its end;
//     nothing is added to it then.
//   - The window is the part of time that the board shows. A rolling window slides by whole buckets, so that an entry may stay up to one
//     bucket longer than the window, and never leaves early.
//   - Ranks are counted from 1. Where only the top K are kept, whoever stands lower has no rank: the answer says "beyond K".
//
// Invariants:
//
//   - The order of a board is total in the records themselves: score first, then who reached it earlier, or the name. So a bucket that is
//     cut to its first K loses nobody who could be among the first K of the board, for best and lowest, and nothing where every submission
//     stands for itself. Sum and last keep their window whole.
//   - What was acknowledged is in the records at the durability that its route states. A bucket leaves them only when the archive has it, or
//     the route has none.
//   - One idempotency key is recorded once for as long as the route remembers it.
package leaderboard
