package proxy

import (
	"bytes"
	"compress/gzip"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// answerTime is how long the proxy waits for the body of a write's answer, if the answer names members that the write
// invalidates.
const answerTime = 5 * time.Second

// namedIn returns the members that the JSON of a write's answer names. A nil answer means that there is no answer that
// can be read: the members are then those of the route's otherwise.
func (w *writing) namedIn(answer []byte) []policy.Member {
	named, fallback := w.ex.route.Invalidates.AnswerEffects(w.ex.route.Name, &w.ex.match, w.ex.target, w.ex.target.Query, w.ex.r.Header, answer)
	if fallback {
		w.told.Detail = "otherwise"
	}
	return named
}

// readAnswer returns the JSON of a write's answer, if the route looks for members in that JSON; nil: the route does
// not, or the answer cannot be read. readAnswer reads the body before any of it goes to the client. Afterwards res.Body
// gives the same bytes again.
//
// Invariant: if the JSON is not read, the route's otherwise says what is invalidated. So readAnswer may give up in
// every case of doubt: another type, a coding other than gzip, too many bytes, too little memory, or an answer that
// takes longer than answerTime.
func (w *writing) readAnswer(res *http.Response) []byte {
	ex := w.ex
	if !w.reads || res.StatusCode/100 != 2 || res.ContentLength > maxInspected || !isJSON(res.Header["Content-Type"]) {
		return nil
	}
	g := gathered{budget: ex.p.store.Memory().Budget(), client: upstream.ClientOf(ex.asker()), body: res.Body, patience: answerTime}
	err := g.upTo(maxInspected)
	ex.inspected = g.room
	if err != nil || !g.whole {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(g.read), g.body), g.body}
		return nil
	}
	res.Body = io.NopCloser(bytes.NewReader(g.read))
	return withoutCoding(res.Header["Content-Encoding"], g.read)
}

// isJSON reports whether a type is JSON's, or has the suffix +json (RFC 6839 §3.1).
func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(contentType[0])
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// withoutCoding decodes content; nil: the coding is neither identity nor gzip, the content is malformed, or the decoded
// content is longer than maxInspected bytes.
func withoutCoding(codings []string, content []byte) []byte {
	switch {
	case len(codings) == 0 || len(codings) == 1 && strings.EqualFold(codings[0], "identity"):
		return content
	case len(codings) > 1 || !strings.EqualFold(codings[0], "gzip"):
		return nil
	}
	from, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(from, maxInspected+1))
	if err != nil || len(text) > maxInspected {
		return nil
	}
	return text
}
