package transparency

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// exchange is one request of the mix.
type exchange struct {
	name           string
	method, target string
	header         http.Header
	body           []byte
	unknown        bool // the client does not tell the length
	trailer        http.Header
	whole          bool // it is the first of a route whose API says Vary, and prefers more than one thing
	slow           bool // the client sends its content in pieces
}

func ask(name, method, target string, fields ...string) exchange {
	e := exchange{name: name, method: method, target: target, header: http.Header{"User-Agent": {"shop-app/7.1 (test)"}}}
	for i := 0; i < len(fields); i += 2 {
		e.header[fields[i]] = append(e.header[fields[i]], fields[i+1])
	}
	return e
}

func (e exchange) with(kind string, body []byte) exchange {
	e.header = e.header.Clone()
	e.body = body
	if kind != "" {
		e.header.Set("Content-Type", kind)
	}
	return e
}

func (e exchange) first() exchange {
	e.whole = true
	return e
}

func (e exchange) inChunks(trailer ...string) exchange {
	e.unknown = true
	for i := 0; i < len(trailer); i += 2 {
		if e.trailer == nil {
			e.trailer = http.Header{}
		}
		e.trailer.Add(trailer[i], trailer[i+1])
	}
	return e
}

func (e exchange) slowly() exchange {
	e.slow = true
	return e
}

// mix is all that is said.
func mix() (all []exchange) {
	add := func(e ...exchange) { all = append(all, e...) }
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "PROPFIND", "REPORT", "BREW", "MKCOL", "LOCK"} {
		add(ask(method+" without content", method, "/plain"))
	}
	add(ask("OPTIONS of the server", "OPTIONS", "*"))
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE", "QUERY", "PROPFIND", "BREW"} {
		json := ask(method+" with content", method, "/echo/1").with("application/json", []byte(`{"id":17}`))
		add(json, json.inChunks().named("in chunks"), json.slowly().named("slowly"))
	}
	add(
		ask("PUT of nothing", "PUT", "/echo/2").with("", []byte{}),
		ask("GET with content", "GET", "/plain?q").with("application/json", []byte(`{"q":1}`)),
		ask("form", "POST", "/echo/form").with("application/x-www-form-urlencoded", []byte("a=1&b=%C3%A4")),
		ask("upload", "POST", "/echo/upload").with("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n\r\n"+string(large[:100_000])+"\r\n--b--\r\n")),
		ask("large upload", "PUT", "/echo/large").with("application/octet-stream", large),
		ask("large upload in chunks", "PUT", "/echo/large").with("application/octet-stream", large).inChunks(),
		ask("slow upload", "PUT", "/echo/slow").with("application/octet-stream", large[:100_000]).slowly(),
		ask("trailers of a request", "POST", "/echo/trailers").with("text/plain", []byte("summed")).inChunks("X-Sum", "6"),
		ask("packed content", "POST", "/echo/packed", "Content-Encoding", "gzip").with("text/plain", []byte("\x1f\x8b not really")),
		ask("content after a question", "PUT", "/echo/expect", "Expect", "100-continue").with("text/plain", []byte("asked for")),
		ask("content that is refused", "PUT", "/refused", "Expect", "100-continue").with("text/plain", bytes.Repeat([]byte("x"), 1000)),
	)
	for _, target := range []string{
		"/plain?", "/plain?a=1&&b=&=c&a=2", "/plain?q=%2F%20+%C3%A4&r=a;b", "/plain/%C3%A4%20b", "/plain/a%2Fb", "/plain/a;v=1/b", "/plain/a:b@c!$&'()*+,=~",
		"/plain/?x[]=1&x[]=2", "/plain/" + strings.Repeat("long/", 300), "/plain?" + strings.Repeat("k=v&", 500), "/plain/%7Euser/%41", "/plain/{id}|^",
	} {
		add(ask("target "+target[:min(40, len(target))], "GET", target))
	}
	for _, status := range []int{200, 201, 202, 203, 204, 205, 207, 208, 226, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411,
		412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 510, 511, 599} {
		add(ask(fmt.Sprintf("status %d", status), "GET", fmt.Sprintf("/status/%d", status)))
	}
	for _, path := range []string{"cookies", "fields", "early", "trailers", "large", "pieces", "length", "none", "cut", "slow", "packed", "content/1"} {
		add(ask("answer "+path, "GET", "/"+path), ask("head of "+path, "HEAD", "/"+path))
	}
	add(
		ask("packed, as asked for", "GET", "/packed/gzip", "Accept-Encoding", "gzip, br;q=0.5"),
		ask("packed, not to be", "GET", "/packed/gzip", "Accept-Encoding", "identity"),
		ask("cookies of a browser", "GET", "/cookies/own", "Cookie", "session=1; theme=dark"),
		ask("API key", "GET", "/keys/1", "X-Api-Key", "k-1"),
		ask("another API key", "GET", "/keys/1", "X-Api-Key", "k-2"),
		ask("no API key", "GET", "/keys/1"),
		ask("bearer", "GET", "/keys/2", "Authorization", "Bearer abc.def"),
		ask("basic", "GET", "/keys/2", "Authorization", "Basic dTpw"),
		ask("preflight", "OPTIONS", "/cors/1", "Origin", "https://a.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type"),
		ask("CORS of a", "GET", "/cors/1", "Origin", "https://a.example"),
		ask("CORS of b", "GET", "/cors/1", "Origin", "https://b.example"),
		ask("no CORS", "GET", "/cors/1"),
		ask("CORS with Vary, of a", "GET", "/cors/vary", "Origin", "https://a.example"),
		ask("CORS with Vary, of b", "GET", "/cors/vary", "Origin", "https://b.example"),
		ask("German", "GET", "/languages/1", "Accept-Language", "de-CH, de;q=0.9, en;q=0.5", "Accept", "application/json").first(),
		ask("English", "GET", "/languages/1", "Accept-Language", "en", "Accept", "text/html, */*;q=0.1"),
		ask("no language", "GET", "/languages/1"),
		ask("unchanged", "GET", "/content/2", "If-None-Match", `"v1"`),
		ask("unchanged, weakly", "GET", "/content/2", "If-None-Match", `W/"v1", "v0"`),
		ask("changed", "GET", "/content/2", "If-None-Match", `"v0"`),
		ask("not modified since", "GET", "/content/2", "If-Modified-Since", modified.Format(http.TimeFormat)),
		ask("modified since", "GET", "/content/2", "If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT"),
		ask("of this version", "GET", "/content/2", "If-Match", `"v1"`),
		ask("of another version", "GET", "/content/2", "If-Match", `"v0"`),
		ask("write of another version", "PUT", "/status/412", "If-Match", `"v0"`).with("text/plain", []byte("x")),
		ask("range", "GET", "/content/3", "Range", "bytes=10-19"),
		ask("end of it", "GET", "/content/3", "Range", "bytes=-10"),
		ask("rest of it", "GET", "/content/3", "Range", "bytes=990-"),
		ask("beyond its end", "GET", "/content/3", "Range", "bytes=5000-"),
		ask("range of this version", "GET", "/content/3", "Range", "bytes=0-9", "If-Range", `"v1"`),
		ask("range of another version", "GET", "/content/3", "Range", "bytes=0-9", "If-Range", `"v0"`),
		ask("range in other units", "GET", "/content/3", "Range", "lines=1-2"),
		ask("browser", "GET", "/plain/browser", "Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Accept-Language", "de,en;q=0.5", "Accept-Encoding", "gzip, deflate, br, zstd",
			"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Referer", "https://shop.example/", "Upgrade-Insecure-Requests", "1", "Dnt", "1", "Priority", "u=0, i"),
		ask("wishes to caches", "GET", "/plain/wishes", "Cache-Control", "no-cache", "Pragma", "no-cache"),
		ask("trace", "GET", "/plain/trace", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "a=b", "X-Request-Id", "r-1", "X-Amzn-Trace-Id", "Root=1-2"),
		ask("fields of its own", "POST", "/echo/fields", "X-Empty", "", "X-Latin", "caf\xe9", "X-Twice", "1", "X-Twice", "2", "X-Long", strings.Repeat("long-", 1500), "Idempotency-Key", "i-1", "X-Http-Method-Override", "PATCH").with("text/plain", []byte("x")),
		ask("unknown field", "GET", "/plain/unknown", "X-Tenant", "t-1"),
		ask("an API that vanishes", "POST", "/vanish").with("text/plain", []byte("x")),
	)
	return all
}

func (e exchange) named(more string) exchange {
	e.name += ", " + more
	return e
}
