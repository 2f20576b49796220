package proxy

import (
	"bytes"
	"io"
	"net/http"
)

// asked ends the keys of reads with content, and the digest of the content follows. No key is the beginning of another.
const asked = 'c'

// readContent reads the content of a request that may be a read by it. Nil: it is none, and goes on as it came.
func (ex *exchange) readContent() ([]byte, error) {
	r, most := ex.r, ex.route.Content.Max
	if most == 0 || !ex.route.Content.MayRead(ex.match.Pattern(), r.Method) || r.Body == nil || r.ContentLength > most {
		return nil, nil
	}
	content, rest, err := peek(r.Body, most)
	if err != nil {
		return nil, err
	}
	if rest != nil {
		r.Body = rest
		return nil, nil
	}
	if !ex.route.Content.Reads(r.Method, ex.target, r.Header, content) {
		r.Body = again(content)
		return nil, nil
	}
	r.Body = again(content) // for when it has to go through after all
	return content, nil
}

// peek reads up to most bytes. Where there are more, rest has all of them, those that were read and those that follow.
func peek(body io.ReadCloser, most int64) (read []byte, rest io.ReadCloser, err error) {
	read, err = io.ReadAll(io.LimitReader(body, most+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(read)) > most {
		return nil, struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(read), body), body}, nil
	}
	if read == nil {
		read = []byte{}
	}
	return read, nil, body.Close()
}

func again(content []byte) io.ReadCloser {
	if len(content) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(content))
}
