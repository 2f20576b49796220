//go:build lockorder && (amd64 || arm64)

package lockorder

// goroutine returns a value that differs between all running goroutines: the address of the runtime's data of the
// present goroutine. The number in a stack trace would serve as well, but costs a walk along the stack for each lock
// of each member of an entry.
func goroutine() uintptr
