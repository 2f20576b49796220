package upstream

import (
	"io"
	"net/http"

	"cacheproxy/lockorder"
)

// keptBody is a request's body that stays open after attempts in which it was not read: a transport that gets no connection closes the body all the
// same. A nil keptBody is no body.
type keptBody struct {
	io.ReadCloser

	// A transport reads and closes on its own goroutine, also after the attempt has failed, while Send decides about the next.
	mu     lockorder.Mutex[lockorder.KeptBody] // guards what is below; not held while the body is read
	read   bool                                // Read was called
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

// Close closes the body only in its last attempt, or if it was read, since there is no other attempt then.
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

// release says that there will be no further attempt, and closes the body if a transport has called Close before.
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
