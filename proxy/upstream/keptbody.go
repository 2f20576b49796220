package upstream

import (
	"io"
	"net/http"

	"cacheproxy/lockorder"
)

// keptBody is a request's body that survives attempts in which nobody read it: a transport that makes no connection
// closes the body all the same. A nil keptBody means no body.
type keptBody struct {
	io.ReadCloser

	// A transport reads and closes on its own goroutine, even after the attempt has failed, while Send decides on the
	// next.
	mu     lockorder.Mutex[lockorder.KeptBody] // guards the fields below; not held while the body is read
	read   bool                                // a transport has read, or tried to
	final  bool                                // no further attempt follows
	closed bool                                // a transport has closed it
}

// keepBody puts a keptBody in req.
func keepBody(req *http.Request) *keptBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	b := &keptBody{ReadCloser: req.Body}
	req.Body = b
	return b
}

func (b *keptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
	return b.ReadCloser.Read(p)
}

// Close closes the body in the last attempt, or when a transport has read: then no further attempt follows.
func (b *keptBody) Close() error {
	b.mu.Lock()
	b.closed = true
	through := b.read || b.final
	b.mu.Unlock()
	if !through {
		return nil
	}
	return b.ReadCloser.Close()
}

// release notes that no further attempt follows, and makes up for a Close that was held back.
func (b *keptBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.final = true
	owed := b.closed && !b.read
	b.mu.Unlock()
	if owed {
		b.ReadCloser.Close() // the error cannot matter any more
	}
}

func (b *keptBody) wasRead() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}
