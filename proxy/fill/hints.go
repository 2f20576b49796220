package fill

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"cacheproxy/policy/httpcache"
)

// maxHints is how many informational responses wait for a slow client. Further responses are dropped: they are
// advice, and the client must not hold up a fill that others share.
const maxHints = 8

// hint is an informational response, such as 103 (RFC 8297).
type hint struct {
	status int
	header http.Header
}

// hinted makes the fill of q collect informational responses for the leading request, if that request wants them.
// Only the leader gets them: before the final header nobody knows whether the answer may be shared. Informational
// responses are not stored.
func (f *flight) hinted(q *Request) <-chan hint {
	if !q.Hints {
		return nil
	}
	f.hints = make(chan hint, maxHints)
	return f.hints
}

// withHints makes a request to the origin send the informational responses before its answer on hints. hints nil:
// withHints returns ctx.
func withHints(ctx context.Context, hints chan<- hint) context.Context {
	if hints == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		// 100 is about sending the request's body, and no advice. 101 is no prelude but an answer.
		if status == http.StatusContinue || status == http.StatusSwitchingProtocols {
			return nil
		}
		select {
		case hints <- hint{status, httpcache.DeliverHeader(http.Header(header))}:
		default:
		}
		return nil
	}})
}
