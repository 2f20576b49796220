package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// demoLatency is what one product page took at the median where it is a
	// join of ten tables, among 100,000 products on an idle PostgreSQL 15 on
	// the same machine (make bench-shop prints it).
	demoLatency = 300 * time.Microsecond

	demoMaxBody  = 64 << 10      // bytes
	demoMaxCount = 1_000_000_000 // of cents, of pieces
)

// demoShop is a shop in memory, with the routes and the JSON of the sample shop
// on PostgreSQL. What has not been edited follows from the id, so every demo
// starts from the same state.
type demoShop struct {
	latency time.Duration

	mu      sync.RWMutex // guards all below
	edited  map[int64]*demoProduct
	deleted map[int64]bool
	stock   map[int64]demoStock // by product id; as seeded where there is none
	orders  int64
}

// demoError is an error that the client is told with this status.
type demoError struct {
	status  int
	message string
}

func (e *demoError) Error() string { return e.message }

func demoFail(status int, format string, args ...any) error {
	return &demoError{status, fmt.Sprintf(format, args...)}
}

// newDemoShop returns a small shop without a database, for demonstrations.
// Every request takes latency, as if a database had been asked; zero or less
// answers at once. The handler keeps its state in memory, owns no goroutine
// and logs nothing.
func newDemoShop(latency time.Duration) http.Handler {
	s := &demoShop{
		latency: latency,
		edited:  map[int64]*demoProduct{}, deleted: map[int64]bool{}, stock: map[int64]demoStock{},
	}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /products/{id}":            s.getProduct,
		"PUT /products/{id}":            s.editProduct,
		"PATCH /products/{id}":          s.editProduct,
		"DELETE /products/{id}":         s.deleteProduct,
		"GET /products":                 s.listProducts,
		"GET /inventory/{sku}":          s.getStock,
		"PUT /inventory/{sku}":          s.changeStock,
		"POST /inventory/{sku}/adjust":  s.changeStock,
		"POST /inventory/{sku}/reserve": s.changeStock,
		"POST /inventory/{sku}/release": s.changeStock,
		"POST /checkout":                s.checkout,
	} {
		mux.Handle(pattern, s.answer(handle))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		demoWrite(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	return mux
}

// answer waits as long as the database would take, then turns a handler's
// error into a response.
func (s *demoShop) answer(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.latency > 0 {
			timer := time.NewTimer(s.latency)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, demoMaxBody)
		err := handle(w, r)
		if err == nil {
			return
		}
		status := http.StatusInternalServerError
		if known := (*demoError)(nil); errors.As(err, &known) {
			status = known.status
		}
		if status != http.StatusNotFound {
			w.Header().Set("Cache-Control", "no-store")
		}
		demoWrite(w, status, map[string]string{"error": err.Error()})
	})
}

// demoRead decodes a body that must be one JSON value with known fields only.
func demoRead(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); errors.Is(end, io.EOF) {
			return nil
		}
		return demoFail(http.StatusBadRequest, "the body goes on after its JSON value")
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return demoFail(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", demoMaxBody)
	}
	return demoFail(http.StatusBadRequest, "read JSON body: %v", err)
}

// demoServe answers a read; ServeContent evaluates conditions and ranges.
func demoServe(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := demoEncode(w, v)
	if err != nil {
		return err
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// demoAnswer answers a write with the representation that a read now gets.
func demoAnswer(w http.ResponseWriter, v any) error {
	body, err := demoEncode(w, v)
	if err != nil {
		return err
	}
	// A failed write means that the client has gone; nobody is left to tell.
	_, _ = w.Write(body)
	return nil
}

// demoEncode encodes v and sets the header fields that describe it.
func demoEncode(w http.ResponseWriter, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	body = append(body, '\n')
	sum := sha256.Sum256(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	return body, nil
}

func demoWrite(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// What is encoded here are plain maps and structs: only a client that has
	// gone can make it fail.
	_ = json.NewEncoder(w).Encode(v)
}
