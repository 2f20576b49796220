package server

// hitStack is how much of its stack the goroutine of a connection uses for a hit, beyond what net/http has used when it asks for the
// address of the client, in bytes: twice as much fits into 8 KiB and what is there at the beginning does not into 2 KiB.
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
