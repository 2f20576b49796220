package policy

// RangeFetch says what a request for a part makes the proxy fetch when no copy can answer it.
type RangeFetch uint8

const (
	// RangeWhole fetches and keeps the whole answer, from which later ranges are answered. A request for an answer that
	// is too large or must not be kept passes with its Range. The zero value.
	RangeWhole RangeFetch = iota
	// RangePart fetches the requested range and keeps it as a part: no other bytes are transferred.
	RangePart
)
