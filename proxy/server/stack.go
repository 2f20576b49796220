package server

// hitStack is about how much stack a hit uses beyond net/http's part, in bytes. Both parts together take 8 KiB.
const hitStack = 4 << 10

// stackForHit grows the stack of a new connection's goroutine at once to the size that a hit needs. A stack begins
// with 2 KiB and doubles when full. At each growth the runtime looks up and moves every frame. Deep within a hit the
// stack would grow twice, with many frames, which is a twentieth of the cost of a new connection. Here the stack
// grows once, with few frames.
//
//go:noinline
func stackForHit(at uint8) byte {
	var room [hitStack]byte
	return room[at]
}
