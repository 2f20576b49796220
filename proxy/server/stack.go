package server

// hitStack is about what a hit uses of the stack of its connection's goroutine beyond what net/http has used by then, in bytes: both together
// take 8 KiB.
const hitStack = 4 << 10

// stackForHit has the stack of a new connection's goroutine grow at once to what a hit takes. It begins with 2 KiB and doubles where it is
// full, and each time every frame on it is looked up and moved: deep within a hit that is twice, of many frames, and a twentieth of
// what a new connection costs. Here there is one.
//
//go:noinline
func stackForHit(at uint8) byte {
	var room [hitStack]byte
	return room[at]
}
