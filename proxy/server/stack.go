package server

// hitStack is about how many bytes of stack a hit uses beyond what net/http uses before it. Both together need a stack of 8 KiB.
const hitStack = 4 << 10

// stackForHit makes the stack of a new connection's goroutine grow at once to the size that a hit needs. A stack begins with 2 KiB and doubles when it
// is full, and each time the runtime looks up and adjusts every frame on it. Deep within a hit that would happen twice, with many frames, and make up
// a twentieth of the cost of a new connection; here there is one frame.
//
//go:noinline
func stackForHit(at uint8) byte {
	var room [hitStack]byte
	return room[at]
}
