package invalidation

// History names one life of a shared log: a log that lost its past begins another. The zero History is none.
type History [16]byte

// Shared is a position in a log that several instances follow, as they tell it each other. A Token is a position of this
// process alone: it counts also what was only ever applied here, and goes on where a shared log has lost its end.
type Shared struct {
	History History
	Seq     uint64 // of the entry; zero precedes every entry
	Nonce   uint64 // of the entry: after a failover there may be another one at its place
}

// Chart translates positions between this process and the log that it shares with others. It is safe for concurrent use.
type Chart interface {
	// Share says which position of the shared log a token stands for: that of the last entry at or before it. ok is false
	// while there is no shared log, or none that reaches back as far.
	Share(t Token) (s Shared, ok bool)
	// Adopt says what token a position of the shared log stands for. ok is false for positions that cannot be vouched for: of
	// another history, not applied here yet, or of an entry that is not in the log any more.
	Adopt(s Shared) (t Token, ok bool)
}
