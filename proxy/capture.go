package proxy

import (
	"io"

	"cacheproxy/store"
)

// capture copies a body while the body is read, and calls done with the copy at the end of the body. done is not called
// if the body is longer than the limit or if the budget has no memory for the copy. The budget counts the copy until
// release. Only one goroutine may use a capture.
type capture struct {
	io.ReadCloser
	limit    int64
	budget   *store.Budget
	data     []byte
	reserved int64
	over     bool              // the body is longer than the limit
	full     bool              // the budget had no memory for the copy
	done     func(data []byte) // called once, at the end of a body that was copied whole
}

// capture wraps the body of an answer in a capture. finish releases the capture at the end of this request.
func (ex *exchange) capture(body io.ReadCloser, done func(data []byte)) *capture {
	ex.captured = &capture{ReadCloser: body, limit: ex.cfg.MaxObject, budget: ex.p.store.Memory().Budget(), done: done}
	return ex.captured
}

// Read implements io.Reader.
func (c *capture) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.keeps() {
		c.keep(p[:n])
	}
	if err == io.EOF && c.keeps() && c.done != nil {
		c.done(c.data)
		c.done = nil
	}
	return n, err
}

func (c *capture) keeps() bool { return !c.over && !c.full }

func (c *capture) keep(p []byte) {
	need := int64(len(c.data) + len(p))
	switch {
	case need > c.limit:
		c.over = true
	case need > int64(cap(c.data)):
		next := min(max(2*int64(cap(c.data)), need), c.limit)
		if c.full = !c.budget.Reserve(next - c.reserved); !c.full {
			c.reserved = next
			c.data = append(make([]byte, 0, next), c.data...)
		}
	}
	if !c.keeps() {
		c.release()
		return
	}
	c.data = append(c.data, p...)
}

// release drops the copy and returns its memory to the budget. A nil capture has no copy.
func (c *capture) release() {
	if c == nil {
		return
	}
	c.budget.Release(c.reserved)
	c.data, c.reserved = nil, 0
}
