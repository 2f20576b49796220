package proxy

import (
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/store"
)

// deliverCopy answers with a stored copy, or with 304 where the client has it already.
func (ex *exchange) deliverCopy(c *store.Copy) {
	if c.Coding() != policy.Identity {
		ex.deliverCoded(c)
		return
	}
	h := ex.w.Header()
	if policy.Conditional(ex.r.Header) {
		stored := c.Header()
		if policy.NotModified(ex.r.Header, ex.r.Method, c.Status, stored, c.Life.Received) {
			ex.deliverNotModified(stored, c.Life.Age(ex.start))
			return
		}
	}
	if len(ex.ranges) > 0 && c.Status == http.StatusOK &&
		ex.deliverRanges(c.Header(), c.Life.Age(ex.start), int64(len(c.Body)), ex.sliced(c.Body)) {
		return
	}
	c.CopyHeader(h)
	ex.addHeader(h, c.Life.Age(ex.start))
	ex.w.WriteHeader(c.Status)
	if ex.r.Method != http.MethodHead && len(c.Body) > 0 {
		_, _ = ex.w.Write(c.Body) // a client that has left; nothing more to do for it
	}
}

// deliverNotModified tells the client that what it has is what is stored (RFC 9110 §15.4.5).
func (ex *exchange) deliverNotModified(stored http.Header, age time.Duration) {
	h := ex.w.Header()
	share(h, policy.NotModifiedHeader(stored))
	ex.addHeader(h, age)
	ex.w.WriteHeader(http.StatusNotModified)
}

// share puts the fields of src into dst without copying the values, which nobody writes to.
func share(dst, src http.Header) {
	for name, values := range src {
		dst[name] = values[:len(values):len(values)]
	}
}

// addHeader adds what differs from answer to answer.
func (ex *exchange) addHeader(h http.Header, age time.Duration) {
	var buf [160]byte
	text := strconv.AppendInt(buf[:0], int64(age/time.Second), 10)
	n := len(text)
	// One string and one array for both: a hit allocates nothing else.
	both := string(ex.appendCacheStatus(text))
	lines := []string{both[:n], both[n:]}
	h["Age"] = lines[:1:1]
	if before := h["Cache-Status"]; len(before) > 0 {
		h["Cache-Status"] = append(before[:len(before):len(before)], lines[1])
	} else {
		h["Cache-Status"] = lines[1:]
	}
	if ex.requestID != "" {
		h[requestIDField] = []string{ex.requestID}
	}
	keepUntyped(h)
}

// keepUntyped stops net/http from guessing a type for an answer that has none.
func keepUntyped(h http.Header) {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
}

// addCacheStatus appends this cache to the list of those that handled the answer (RFC 9211 §2), and tells the request's id.
func (ex *exchange) addCacheStatus(h http.Header) {
	ex.addID(h)
	var buf [128]byte
	list := h["Cache-Status"]
	h["Cache-Status"] = append(list[:len(list):len(list)], string(ex.appendCacheStatus(buf[:0])))
}

func (ex *exchange) appendCacheStatus(dst []byte) []byte {
	status := ex.status
	if ex.cfg.CacheStatusKey {
		status.Key = string(ex.key)
	}
	return status.Append(dst)
}

// deliverFill answers with what a fill brings, while it comes.
func (ex *exchange) deliverFill(res *fill.Response, from *fill.Reader) {
	if res.Confirmed != nil && res.Confirmed.Coding() != policy.Identity {
		ex.deliverCoded(res.Confirmed)
		return
	}
	h := ex.w.Header()
	life := res.Verdict.Lifetime
	if policy.Conditional(ex.r.Header) &&
		policy.NotModified(ex.r.Header, ex.r.Method, res.Status, res.Header, life.Received) {
		ex.deliverNotModified(res.Header, life.Age(time.Now()))
		return
	}
	if len(ex.ranges) > 0 && res.Status == http.StatusOK && ex.deliverFillRanges(res, from) {
		return
	}
	share(h, res.Header)
	ex.addFillHeader(h, res)
	ex.w.WriteHeader(res.Status)
	ex.follow(res, from, everything)
}

// addFillHeader adds what differs from answer to answer.
func (ex *exchange) addFillHeader(h http.Header, res *fill.Response) {
	life := res.Verdict.Lifetime
	if res.Verdict.Store && (res.Confirmed != nil || ex.status.Collapsed || res.Age != nil) {
		h["Age"] = []string{strconv.FormatInt(int64(life.Age(time.Now())/time.Second), 10)}
	} else if res.Age != nil {
		h["Age"] = res.Age
	}
	ex.addCacheStatus(h)
	keepUntyped(h)
}

// follow copies a growing body to the client as it grows, or a stretch of it.
func (ex *exchange) follow(res *fill.Response, from *fill.Reader, wanted policy.Span) {
	flush := http.NewResponseController(&ex.w)
	if res.Header["Content-Length"] == nil && from.Idle() {
		_ = flush.Flush() // the client may wait for the head, and the first bytes be long in coming
	}
	for at := int64(0); at <= wanted.Last; {
		p, err := from.Next(ex.r.Context())
		if err != nil {
			if at == res.Length && ex.r.Context().Err() != nil {
				return // all of it is there, and who had nothing else to ask has left
			}
			ex.status.Reason = policy.Incomplete
			if ex.r.Context().Err() != nil {
				ex.status.Reason = policy.ClientGone
			}
			// The client must not take a part for the whole.
			panic(http.ErrAbortHandler)
		}
		if len(p) == 0 {
			break
		}
		whole := int64(len(p))
		p = p[min(max(wanted.First-at, 0), whole):min(wanted.Last+1-at, whole)]
		if at += whole; len(p) == 0 {
			continue
		}
		if _, err := ex.w.Write(p); err != nil {
			ex.status.Reason = policy.ClientGone
			return
		}
		if from.Idle() {
			_ = flush.Flush() // a writer that cannot flush sends when it likes
		}
	}
	if wanted != everything {
		return
	}
	for name, values := range from.Trailer() {
		ex.w.Header()[http.TrailerPrefix+name] = values
	}
}
