package server

import (
	"cacheproxy/policy/httpcache"
	"net/http"
)

// guard watches the requests on a set's connections: their number at work, the progress of their bodies, and whether
// clients take their answers.
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
			header = headerBytes(r) // received has counted the header of HTTP/1.1
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
			// net/http reads the unread rest of the body before the answer goes out, without a limit of its own.
			defer conn.hasten(c.limits.BodyTimeout)
			defer body.finish()
		}
		next.ServeHTTP(w, r)
		conn.unread.Store(body != nil && !body.ended.Load())
	})
}

// leave counts a request out.
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

// framedTwice reports whether a request may have both Transfer-Encoding and Content-Length, or a Transfer-Encoding in
// HTTP/1.0, which does not know the field. An intermediary may then take another end for that of the request, and the
// server must close the connection after the answer (RFC 9112 §6.1). Below TLS the fields cannot be seen: every
// chunked request over TLS may be one, and every request of HTTP/1.0.
func framedTwice(conn *connection, r *http.Request) bool {
	switch {
	case r.ProtoMajor != 1:
		return false
	case r.ProtoMinor == 0:
		return r.TLS != nil || conn.hasCoding.Load()
	}
	return len(r.TransferEncoding) > 0 && (r.TLS != nil || conn.hasLength.Load())
}

// misframed reports whether a request in HTTP/1.0 has a Transfer-Encoding, which makes its framing faulty (RFC 9112
// §6.1). Without a Content-Length the content would be taken for none, and a write would empty what it was to fill.
// With a Content-Length, an intermediary may take the bytes behind the content for a part of the content, or the
// other way round. A line in the content of a first request is not counted as its head's. Further requests of such a
// connection are in doubt, and refused.
func misframed(conn *connection, r *http.Request, first bool) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor == 0 && conn.hasCoding.Load() && (r.ContentLength <= 0 || !first || conn.coded.Load())
}

// Bound applies BodyTimeout to the body of a request that is Silent, where the request turns out to be no
// conversation. The body must not have been read yet. Without a connection of a set below, Bound does nothing.
func Bound(r *http.Request) {
	if conn := connectionOf(r.Context()); conn != nil && Silent(r) && r.Body != nil && r.Body != http.NoBody {
		r.Body = newTimedBody(r.Body, conn, r.ProtoMajor, conn.all.limits.BodyTimeout)
	}
}

// Unbound lifts BodyTimeout from the body of a request. The body must not have been read yet.
func Unbound(r *http.Request) {
	if body, ok := r.Body.(*timedBody); ok {
		body.timeout = 0
	}
}

// Silent reports whether a client may rightly send nothing for long while its request is open: a gRPC call, which
// needs HTTP/2, is a conversation.
func Silent(r *http.Request) bool {
	return r.ProtoMajor >= 2 && httpcache.GRPC(r.Header)
}
