package policy

// RangeFetch says what a request for a part makes the proxy fetch when no copy can answer it.
type RangeFetch uint8

const (
	// RangeWhole fetches and keeps the whole answer, which every later range is answered from. What is too large or must
	// not be kept passes with its Range. The zero value.
	RangeWhole RangeFetch = iota
	// RangePart fetches what was asked for and keeps it as a part: nothing is transferred that nobody wants.
	RangePart
)
