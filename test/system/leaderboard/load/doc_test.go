// Package load submits scores to two instances of the proxy and reads the top of the board, and holds every read against a model that has seen
// every acknowledged score, and the archive against the same model in the end.
//
// A submission is in a board at some moment between its being sent and its being acknowledged, and reads take time too. So of each read there
// is a lower and an upper bound:
//
//   - What was acknowledged more than late (one second) before the read was sent, and was sent less than a window before the read was
//     answered, is shown, or a better score of the same player, or the board is full of better scores.
//   - What is shown was submitted before the read was answered, and acknowledged no longer before it was sent than a window, a bucket and late.
//
// It lasts 20 s; make leaderboard-load makes it ten minutes.
package load
