package proxy

import (
	"io"

	"cacheproxy/store"
)

// capture keeps a body that streams by, up to a limit, and hands it over when it has come whole. What it keeps is in the budget, as the
// bodies of fills are. It is for one goroutine, and gives back the budget at the end, or when it is closed before.
type capture struct {
	io.ReadCloser
	budget *store.Budget
	limit  int64
	data   []byte
	over   bool // it is longer than the limit
	full   bool // the budget had no room for it
	held   int64
	done   func(data []byte) // called once at the end of a body that was kept
}

// Read implements io.Reader.
func (c *capture) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if !c.over && !c.full {
		c.take(p[:n])
	}
	if err == io.EOF {
		if !c.over && !c.full && c.done != nil {
			c.done(c.data)
			c.done = nil
		}
		c.giveBack()
	}
	return n, err
}

func (c *capture) take(p []byte) {
	n := int64(len(p))
	switch {
	case int64(len(c.data))+n > c.limit:
		c.over = true
	case !c.budget.Reserve(n):
		c.full = true
	default:
		c.held += n
		c.data = append(c.data, p...)
		return
	}
	c.data = nil
	c.giveBack()
}

// Close implements io.Closer.
func (c *capture) Close() error {
	c.giveBack()
	return c.ReadCloser.Close()
}

func (c *capture) giveBack() {
	c.budget.Release(c.held)
	c.held = 0
}
