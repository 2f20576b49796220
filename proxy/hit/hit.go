package hit

import (
	"io"
	"net/http"
	"sync"

	"cacheproxy/proxy/server"
)

// Answerer answers requests that need nothing but a copy.
type Answerer interface {
	// Answer answers a request without content, or reports false and has done nothing. After its return Answer keeps
	// neither r nor any text of r. With waits, the client may wait for a copy that is not at hand.
	Answer(w http.ResponseWriter, r *http.Request, waits bool) bool
}

// Path answers requests below net/http. It is safe for concurrent use.
type Path struct {
	by     Answerer
	visits sync.Pool
}

// New returns a Path on which by answers.
func New(by Answerer) *Path {
	p := &Path{by: by}
	p.visits.New = func() any { return newVisit() }
	return p
}

// visit holds the memory that one request needs. Path pools visits.
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
