package server

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"cacheproxy/policy/httpcache"
)

// problem is an error for programs (RFC 9457 §3). Its type is about:blank, so the title is that of the status.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id,omitempty"`
}

// Error answers with an error of the proxy's own. A call of gRPC gets a status of gRPC. A client that prefers JSON
// gets application/problem+json. Any other client gets plain text that ends with the request id, for a search of the
// log. An empty id is left out.
func Error(w http.ResponseWriter, r *http.Request, status int, text, id string) {
	if isGRPC(r) {
		grpcError(w, status, text, id)
		return
	}
	if !prefersJSON(r.Header["Accept"]) {
		if id != "" {
			text += "\nrequest id: " + id
		}
		http.Error(w, text, status)
		return
	}
	body, err := json.Marshal(problem{http.StatusText(status), status, text, id})
	if err != nil {
		http.Error(w, text, status) // cannot happen: strings and numbers can be marshalled
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only when the client has left
}

// prefersJSON reports whether an Accept weighs a type of JSON above all types of text, or as high and names it first
// (RFC 9110 §12.5.1). A client that accepts any type gets text.
func prefersJSON(accept []string) bool {
	var json, text float64
	for element := range httpcache.Elements(accept) {
		name, parameters, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, ok := parameters["q"]; ok {
			if weight, err = strconv.ParseFloat(q, 64); err != nil || !(weight >= 0 && weight <= 1) {
				continue
			}
		}
		switch {
		case name == "application/json" || strings.HasSuffix(name, "+json"):
			if weight > text {
				json = max(json, weight)
			}
		case strings.HasPrefix(name, "text/"):
			if weight > json {
				text = max(text, weight)
			}
		}
	}
	return json > text
}
