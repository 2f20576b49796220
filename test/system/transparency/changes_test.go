package transparency

// changes are the fields that may differ on a way.
type changes struct{ added, changed, removed []string }

// framing is not compared: how long a message is, and what belongs to one connection, each hop says for itself (RFC 9110 §7.6.1, RFC 9112 §6).
var framing = []string{"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Te"}

// way is what the program says of itself and of the client, who is not trusted here, in every request.
var way = []string{"Via", "Forwarded", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

var (
	// toClient is what the program does to answers.
	toClient = changes{added: []string{"Cache-Status", "Age", "X-Request-Id"}, changed: []string{"Date", "Via"}}
	// toAPI is what it does to requests that pass.
	toAPI = changes{added: way, changed: []string{"X-Request-Id"}}
	// toAPIShared is what it does besides to requests that it makes for many clients: what says who asks, and how, is left out, a fetch is whole
	// and has the conditions of the copy that it renews, and codings that it cannot unpack are not offered.
	toAPIShared = changes{
		added: append(way, "Surrogate-Capability", "If-None-Match", "If-Modified-Since"), changed: []string{"User-Agent", "X-Request-Id", "If-None-Match", "If-Modified-Since", "Accept-Encoding"},
		removed: []string{
			"User-Agent", "Referer", "Dnt", "Priority", "Upgrade-Insecure-Requests", "Sec-Fetch-*", "X-Amzn-Trace-Id", "Cache-Control", "Pragma",
			"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
		},
	}
)
