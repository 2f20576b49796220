// Package leaderboard holds the rules of boards: what a submission is, how the submissions of a player become a score,
// how players are ordered, and which span of time a board shows. The package is pure. Package valkey stores the
// records, package archive moves the records to PostgreSQL, package api answers requests, and package model computes
// boards from the same rules for tests.
//
// Terms:
//
//   - A board is one ranking. Its name consists of its route and of the text that the route's template makes from the
//     path.
//   - A submission is one score of one player. Its time is by the clock of the server that stores the records, never by
//     that of a client or a proxy.
//   - A bucket is a span of time in which a board gathers submissions. A bucket is closed once the server's clock has
//     passed its end; a closed bucket gets no more submissions.
//   - The window is the span of time that the board shows. A rolling window slides by whole buckets, so that an entry
//     may stay up to one bucket longer than the window, and never leaves early.
//   - Ranks count from 1. If only the top K are kept, a player below has no rank: the answer says "beyond K".
//
// Invariants:
//
//   - The order of a board is total in the records themselves: by score, then by the time of the score or by the name.
//     For best and lowest, a bucket that is cut to its first K loses no player who could be among the first K of the
//     board. Where every submission stands for itself, such a bucket loses no submission that could be among them. Sum
//     and last keep their whole window.
//   - An acknowledged submission is in the records with the durability that its route states. A bucket leaves the
//     records only when the archive has the bucket, or the route has no archive.
//   - A submission with an idempotency key is recorded once for as long as the route remembers the key.
package leaderboard
