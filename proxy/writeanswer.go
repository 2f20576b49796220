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

// answerTime is how long the rest of an answer is waited for in which names are to be found.
const answerTime = 5 * time.Second

// namedIn is what the answer to a write makes unusable by its JSON. Without one that can be read that is what the operator has said.
func (w *writing) namedIn(answer []byte) []policy.Member {
	named, fallback := w.ex.route.Invalidates.AnswerEffects(w.ex.route.Name, &w.ex.match, w.ex.target, w.ex.target.Query, w.ex.r.Header, answer)
	if fallback {
		w.told.Detail = "otherwise"
	}
	return named
}

// answer reads the JSON of an answer in which the route's invalidations are found, before the client gets any of it; nil: there is none that
// can be read. The client gets what came, byte by byte.
//
// Invariant: what is not read names nothing, and what the operator has said takes its place. So everything that is in doubt here may end
// the reading: another type, another coding than gzip, too many bytes, too little memory, an answer that does not come any further.
func (w *writing) answer(res *http.Response) []byte {
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
	return plain(res.Header["Content-Encoding"], g.read)
}

// isJSON reports whether a type is JSON's, or one on top of it (RFC 6839 §3.1).
func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(contentType[0])
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// plain is content without its coding; nil where that cannot be read, or has more bytes than are looked at.
func plain(codings []string, content []byte) []byte {
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
