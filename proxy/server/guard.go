package server

import (
	"cacheproxy/policy/httpcache"
	"net/http"
)

// guard wraps a handler. It counts requests in and out of their connections, refuses malformed ones, and bounds how slowly bodies may come and
// answers may be taken.
func (c *Connections) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := connectionOf(r.Context())
		if conn == nil {
			next.ServeHTTP(w, r)
			return
		}
		first := !conn.served.Load()
		if !conn.begin() {
			panic(http.ErrAbortHandler) // the connection was closed while the request came in
		}
		header := int64(0)
		if r.ProtoMajor >= 2 {
			header = headerBytes(r) // over HTTP/1.1 it was counted as it came
			defer c.streams.Add(-1)
		}
		defer c.leave(conn, r, header)
		if r.ProtoMajor >= 2 && (c.streams.Add(1) > int64(c.limits.MaxConnections) || !conn.grow(header)) {
			refuse(w, r)
			c.rejected(PeerAddr(r), http.StatusServiceUnavailable)
			return
		}
		if c.closing.Load() || framedTwice(conn, r) {
			w.Header()["Connection"] = []string{"close"}
		}
		if misframed(conn, r, first) {
			c.rejected(PeerAddr(r), http.StatusBadRequest)
			Error(w, r, http.StatusBadRequest, "HTTP/1.0 has no Transfer-Encoding; say Content-Length alone, or HTTP/1.1", "")
			return
		}
		if why := malformed(r); why != "" {
			c.rejected(PeerAddr(r), http.StatusBadRequest)
			Error(w, r, http.StatusBadRequest, "the request is malformed: "+why, "")
			return
		}
		var body *timedBody
		if r.Body != nil && r.Body != http.NoBody && !Silent(r) {
			body = newTimedBody(r.Body, conn, r.ProtoMajor, c.limits.BodyTimeout)
			r.Body = body
		}
		if r.ProtoMajor >= 2 {
			next.ServeHTTP(newTimedWriter(w, c), r)
			return
		}
		conn.body.Store(body)
		if body != nil {
			// net/http reads the rest of the body before it sends the answer, without a time limit of its own.
			defer conn.hasten(c.limits.BodyTimeout)
			defer body.finish()
		}
		next.ServeHTTP(w, r)
		conn.unread.Store(body != nil && !body.ended.Load())
	})
}

// leave ends a request: it counts the request out, and closes an HTTP/2 connection whose client resets too many.
func (c *Connections) leave(conn *connection, r *http.Request, header int64) {
	if r.ProtoMajor >= 2 && conn.floods(r.Context().Err() != nil) {
		c.flooding.Add(1)
		conn.drop()
	}
	if header > 0 {
		conn.grow(-header)
	}
	if c.hits != nil {
		conn.shared.handled = true
	}
	conn.end()
}

// framedTwice reports whether a request may have both Transfer-Encoding and Content-Length, or a Transfer-Encoding in HTTP/1.0, which does not know
// it. An intermediary may then take another byte for the end of the request, so that its connection must be closed after the answer (RFC 9112
// §6.1). With TLS the fields cannot be seen, so that every chunked request may have both, and every one in HTTP/1.0 may have a coding.
func framedTwice(conn *connection, r *http.Request) bool {
	switch {
	case r.ProtoMajor != 1:
		return false
	case r.ProtoMinor == 0:
		return r.TLS != nil || conn.hasCoding.Load()
	}
	return len(r.TransferEncoding) > 0 && (r.TLS != nil || conn.hasLength.Load())
}

// misframed reports whether a request in HTTP/1.0 has a Transfer-Encoding, so that its framing is faulty (RFC 9112 §6.1). Without a Content-Length it
// would be taken for a request without content, and a write would empty a resource that it was to fill; with one, recipients may disagree about where
// the content ends. If the line was seen in the content of the connection's first request, that request is not refused; later requests on the
// connection are in doubt, and refused.
func misframed(conn *connection, r *http.Request, first bool) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor == 0 && conn.hasCoding.Load() && (r.ContentLength <= 0 || !first || conn.coded.Load())
}

// Bound applies BodyTimeout to the body of a request that is Silent, and that turns out to be no gRPC call. The body must not have been read. Without
// a connection of a Connections, nothing happens.
func Bound(r *http.Request) {
	if conn := connectionOf(r.Context()); conn != nil && Silent(r) && r.Body != nil && r.Body != http.NoBody {
		r.Body = newTimedBody(r.Body, conn, r.ProtoMajor, conn.all.limits.BodyTimeout)
	}
}

// Unbound lets the body of a request come as slowly as the client likes. The body must not have been read.
func Unbound(r *http.Request) {
	if body, ok := r.Body.(*timedBody); ok {
		body.timeout = 0
	}
}

// Silent reports whether the client may send nothing for a long time while its request is open. That holds for gRPC calls, over HTTP/2.
func Silent(r *http.Request) bool {
	return r.ProtoMajor >= 2 && httpcache.GRPC(r.Header)
}
