package server

import (
	"cacheproxy/policy/httpcache"
	"net/http"
)

// guard watches the requests of a set's connections: which are at work, how their bodies come, whether their answers are
// taken.
func (c *Connections) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := connectionOf(r.Context())
		if conn == nil {
			next.ServeHTTP(w, r)
			return
		}
		if !conn.begin() {
			panic(http.ErrAbortHandler) // it was closed while the request came in
		}
		header := int64(0)
		if r.ProtoMajor >= 2 {
			header = headerBytes(r) // over HTTP/1.1 it was counted as it came
			defer c.streams.Add(-1)
		}
		defer c.leave(conn, r, header)
		if r.ProtoMajor >= 2 && (c.streams.Add(1) > int64(c.limits.MaxConnections) || !conn.grow(header)) {
			refuse(w)
			return
		}
		if c.closing.Load() || twoLengths(conn, r) {
			w.Header()["Connection"] = []string{"close"}
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
		if body != nil {
			// What of the body nobody has read is read before the answer goes out, by net/http, which has no limit of its own.
			defer conn.hasten(c.limits.BodyTimeout)
			defer body.finish()
		}
		next.ServeHTTP(w, r)
		conn.unread.Store(body != nil && !body.ended.Load())
	})
}

// leave ends a request.
func (c *Connections) leave(conn *connection, r *http.Request, header int64) {
	if r.ProtoMajor >= 2 && conn.floods(r.Context().Err() != nil) {
		c.flooding.Add(1)
		conn.drop()
	}
	if header > 0 {
		conn.grow(-header)
	}
	conn.end()
}

// twoLengths reports whether a request may have both Transfer-Encoding and Content-Length. Below TLS that cannot be seen,
// so that every chunked one may.
func twoLengths(conn *connection, r *http.Request) bool {
	return r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 && (r.TLS != nil || conn.hasLength.Load())
}

// Silent reports whether a client may rightly send nothing for long while its request is open: a gRPC call, for which there
// has to be HTTP/2, is a conversation.
func Silent(r *http.Request) bool {
	return r.ProtoMajor >= 2 && httpcache.GRPC(r.Header)
}
