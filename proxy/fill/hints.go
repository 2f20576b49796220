package fill

import (
	"context"
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

// hinted makes the fill of q collect informational responses for the request that leads, if it wants them. Only that request gets them, since it is
// not known before the final header whether the answer may be shared. They are not stored.
func (f *flight) hinted(q *Request) <-chan hint {
	if !q.Hints {
		return nil
	}
	f.hints = make(chan hint, maxHints)
	return f.hints
}

// withHints makes a request keep the informational responses that come before its answer.
func withHints(ctx context.Context, hints chan<- hint) context.Context {
	if hints == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		// 100 is about a body, which a fill does not have; 101 is no prelude but an answer.
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
