package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// maxBody bounds the request bodies that the shop reads, in bytes.
const maxBody = 64 << 10

// Options of a shop. The zero value is ready to use.
type Options struct {
	// MaxAge is the max-age of products in Cache-Control. Zero sends no Cache-Control and leaves the lifetime of copies
	// to the cache.
	MaxAge time.Duration

	// Timeout bounds one request, waiting for a database connection included. Zero means five seconds.
	Timeout time.Duration

	// Log gets the requests that failed without the client's fault. Nil discards them.
	Log *slog.Logger
}

type shop struct {
	store   Store
	options Options
	games   games
}

// New returns the shop's handler, which has no goroutine of its own.
func New(store Store, options Options) http.Handler {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Second
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &shop{store: store, options: options}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /products/{id}":            s.getProduct,
		"PUT /products/{id}":            s.putProduct,
		"PATCH /products/{id}":          s.patchProduct,
		"DELETE /products/{id}":         s.deleteProduct,
		"GET /products":                 s.listProducts,
		"GET /inventory/{sku}":          s.getStock,
		"PUT /inventory/{sku}":          s.putStock,
		"POST /inventory/{sku}/adjust":  s.adjustStock,
		"POST /inventory/{sku}/reserve": s.reserveStock,
		"POST /inventory/{sku}/release": s.releaseStock,
		"POST /checkout":                s.checkout,
		"POST /games/{game}/scores":     s.postScore,
		"GET /games/{game}/leaderboard": s.getLeaderboard,
		"GET /games/{game}":             s.getGame,
		"GET /healthz":                  s.health,
	} {
		mux.Handle(pattern, s.answer(handle))
	}
	return mux
}

// answer bounds the time of a handler and turns its error into a response.
func (s *shop) answer(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.options.Timeout)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		err := handle(w, r.WithContext(ctx))
		if err == nil || r.Context().Err() != nil {
			return // answered, or the client is gone
		}
		status, message := statusOf(err)
		if status >= 500 {
			s.options.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		if status != http.StatusNotFound { // caches may keep 404 like any answer
			w.Header().Set("Cache-Control", "no-store")
		}
		writeJSON(w, status, map[string]string{"error": message})
	})
}

// statusOf is the status and message for an error.
func statusOf(err error) (status int, message string) {
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound, err.Error()
	case errors.Is(err, ErrConflict):
		return http.StatusConflict, err.Error()
	case errors.As(err, new(*http.MaxBytesError)):
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)
	case errors.Is(err, ErrInvalid):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, "the database did not answer in time; try again"
	default:
		return http.StatusInternalServerError, "internal error"
	}
}

func (s *shop) health(w http.ResponseWriter, r *http.Request) error {
	if err := s.store.Ping(r.Context()); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readJSON decodes a body that must be one JSON value with known fields only.
func readJSON(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: read JSON body: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the body goes on after its JSON value", ErrInvalid)
	}
	return nil
}

// serveJSON answers with a representation and its validator. ServeContent evaluates the request's conditions and
// ranges.
func serveJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("ETag", etag(body))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// writeChanged answers a write with the new representation of location, byte for byte the content of a GET (RFC 9110,
// section 8.7).
func writeChanged(w http.ResponseWriter, location string, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Location", location)
	h.Set("ETag", etag(body))
	// A failed write means that the client is gone.
	_, _ = w.Write(body)
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Encoding cannot fail for maps and structs of plain fields, so an error means that the client is gone.
	_ = json.NewEncoder(w).Encode(v)
}

func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return append(body, '\n'), nil
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
