//go:build lockorder && !amd64 && !arm64

package lockorder

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutine returns a value that differs between all running goroutines: the goroutine's number, which Go shows only
// in the text of a stack trace.
func goroutine() uintptr {
	var buffer [64]byte
	text := buffer[:runtime.Stack(buffer[:], false)]
	text = bytes.TrimPrefix(text, []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte(" "))
	g, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic("stack trace does not begin with the number of the goroutine: " + string(text))
	}
	return uintptr(g)
}
