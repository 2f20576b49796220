package hit

import (
	"io"
	"net/http"
	"sync"

	"cacheproxy/proxy/server"
)

// Answerer answers requests for which nothing but a copy is needed.
type Answerer interface {
	// Answer answers a request without content, or reports false and has done nothing. It must keep neither r nor any string of r after it
	// returns. With waits, it may block to get a copy that is not in memory.
	Answer(w http.ResponseWriter, r *http.Request, waits bool) bool
}

// Path parses requests below net/http, has its Answerer answer them, and writes the answers. It is safe for concurrent use.
type Path struct {
	by     Answerer
	visits sync.Pool
}

// New makes the Path to an Answerer.
func New(by Answerer) *Path {
	p := &Path{by: by}
	p.visits.New = func() any { return newVisit() }
	return p
}

// visit is the memory that one request needs. It is reused.
type visit struct {
	head   head
	writer writer
}

func newVisit() *visit {
	v := &visit{}
	v.head.r = http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody}
	v.head.names = make([]byte, 0, 512)
	v.writer.header = http.Header{}
	v.writer.out = make([]byte, 0, outSize)
	return v
}

// Answer implements server.Hits.
func (p *Path) Answer(to io.Writer, client string, sent []byte, waits bool) (n int, what server.Verdict) {
	v := p.visits.Get().(*visit)
	defer func() {
		v.writer.to = nil
		p.visits.Put(v)
	}()
	n, what = v.head.parse(sent)
	if what != server.Single || !v.head.usual {
		return n, what
	}
	v.head.r.RemoteAddr = client
	v.head.r.Close = v.head.closes
	v.writer.begin(to, v.head.r.Method, v.head.closes)
	if !p.by.Answer(&v.writer, &v.head.r, waits) {
		return n, server.Single
	}
	if !v.writer.finish() {
		return n, server.Broken
	}
	if v.head.closes {
		return n, server.Last
	}
	return n, server.Answered
}
