package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// explainTimeout bounds an explanation, which may look into the shared store.
const explainTimeout = 10 * time.Second

// health serves /healthz: the process is alive and answers.
func (h *handler) health(w http.ResponseWriter, _ *request) error {
	return writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
		Build  string `json:"build"`
	}{"ok", h.Build})
}

// ready serves /readyz: this instance should get traffic.
func (h *handler) ready(w http.ResponseWriter, _ *request) error {
	if err := h.Ready(); err != nil {
		return problemf(http.StatusServiceUnavailable, "not ready: %v", err)
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// config serves GET /config.
func (h *handler) config(w http.ResponseWriter, _ *request) error {
	return writeJSON(w, http.StatusOK, h.Config())
}

// explain serves GET /explain?method=&url=&header=.
func (h *handler) explain(w http.ResponseWriter, r *request) error {
	method, rawURL, header, err := readExplainQuery(r.target.Query)
	if err != nil {
		return badRequest(err)
	}
	var assumed []string
	if header["Accept"] == nil {
		header["Accept"] = []string{"*/*"} // as curl and most libraries ask; an empty Accept has the same meaning
		assumed = append(assumed, "Accept: */*")
	}
	ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
	defer cancel()
	answer, err := h.Explain(ctx, method, rawURL, header, assumed)
	if err != nil {
		return badRequest(err)
	}
	return writeJSON(w, http.StatusOK, answer)
}

func readExplainQuery(raw string) (method, rawURL string, header http.Header, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", "", nil, fmt.Errorf("parse query: %w", err)
	}
	for name, values := range query {
		if !slices.Contains([]string{"method", "url", "header"}, name) {
			return "", "", nil, fmt.Errorf("unknown query parameter %q: use method, url and header; percent-encode '&' in the URL", shorten(name))
		}
		if name != "header" && len(values) > 1 {
			return "", "", nil, fmt.Errorf("query parameter %q is there %d times: give it once", name, len(values))
		}
	}
	method = query.Get("method")
	if method == "" {
		method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(method) { // both are tokens, RFC 9110 §9.1 and §5.1
		return "", "", nil, fmt.Errorf("method %q is not a method", shorten(method))
	}
	rawURL = query.Get("url")
	if rawURL == "" {
		return "", "", nil, errors.New("url is missing: give a path that begins with '/', or a URL")
	}
	if _, err := splitTarget(rawURL); err != nil {
		return "", "", nil, err
	}
	if header, err = readFields(query["header"]); err != nil {
		return "", "", nil, err
	}
	return method, rawURL, header, nil
}

// readFields reads header fields from lines as "Name: value".
func readFields(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("header %q is not of the form Name: value", shorten(line))
		}
		header.Add(name, value)
	}
	return header, nil
}
