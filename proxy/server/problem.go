package server

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"cacheproxy/policy/httpcache"
)

// problem is an error as programs read it (RFC 9457 §3). It has no type beyond the status, which then is its title.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id,omitempty"`
}

// Error answers with an error of the proxy's own: as application/problem+json where the client prefers JSON, as a status of gRPC where
// the request is a call of it, else as plain text, which ends with what to search the log for. An empty id has none.
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
		http.Error(w, text, status) // texts and numbers have a form
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that has left; nothing more to do for it
}

// prefersJSON reports whether an Accept names a type of JSON, and no type of text before or above it (RFC 9110 §12.5.1). Who accepts
// anything gets text.
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
