package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"cacheproxy/policy/httpcache"
)

// maxHints is how many informational responses wait for a client that is slow to take them. What comes beyond is dropped:
// they are advice, and the fill belongs to others as well.
const maxHints = 8

// hint is an informational response, such as 103 (RFC 8297).
type hint struct {
	status int
	header http.Header
}

// informed makes a request hand over the informational responses that come before its answer. Only the client that started
// the fill gets them: whether the answer may be shared is not known before its header is there. None is stored.
func (q *fetch) informed(ctx context.Context) context.Context {
	if q.hints == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		// 100 is about a body, which a fill does not have; 101 is no prelude but an answer.
		if status == http.StatusContinue || status == http.StatusSwitchingProtocols {
			return nil
		}
		select {
		case q.hints <- hint{status, httpcache.DeliverHeader(http.Header(header))}:
		default:
		}
		return nil
	}})
}

// inform sends an informational response. HTTP/1.0 does not know them (RFC 9110 §15.2).
func (ex *exchange) inform(h hint) {
	if !ex.r.ProtoAtLeast(1, 1) {
		return
	}
	// Nothing of the final header is there before the fill's.
	header := ex.w.Header()
	maps.Copy(header, h.header)
	ex.w.WriteHeader(h.status)
	clear(header)
}

// informAll sends what came together with the answer.
func (ex *exchange) informAll(hints <-chan hint) {
	for {
		select {
		case h := <-hints:
			ex.inform(h)
		default:
			return
		}
	}
}
