package proxy

import "io"

// capture keeps a body that streams by, up to a limit, and hands it over when it has come whole.
type capture struct {
	io.ReadCloser
	limit int64
	data  []byte
	over  bool
	done  func(data []byte) // called once at the end of a body within the limit
}

// Read implements io.Reader.
func (c *capture) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if int64(len(c.data)+n) > c.limit {
		c.over, c.data = true, nil
	}
	if !c.over {
		c.data = append(c.data, p[:n]...)
	}
	if err == io.EOF && !c.over && c.done != nil {
		c.done(c.data)
		c.done = nil
	}
	return n, err
}
