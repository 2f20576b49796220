//go:build lockorder && (amd64 || arm64)

package lockorder

// goroutine tells the present goroutine from all others that run: the address of what the runtime keeps of it. The number that a
// stack trace shows would do as well, but takes the time of a walk along the stack, for each lock of each member of an entry.
func goroutine() uintptr
