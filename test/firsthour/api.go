package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	products  = 40
	pageSize  = 10
	maxUpload = 64 << 20

	// reportTakes is longer than the timeout of the upstream in the document.
	reportTakes = 1500 * time.Millisecond
)

// modified is when everything was, so that Last-Modified is the same each time.
var modified = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// tiers are what clients' keys entitle them to, in percent of the price.
var tiers = map[string]int{"gold": 90, "silver": 100}

type api struct {
	mu    sync.Mutex
	names map[int]string // of products that were renamed; guarded by mu
}

func newAPI() http.Handler {
	a := &api{names: map[int]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products/{id}", a.product)
	mux.HandleFunc("PUT /products/{id}", a.rename)
	mux.HandleFunc("GET /products", a.list)
	mux.HandleFunc("GET /prices/{id}", a.price)
	mux.HandleFunc("GET /basket", a.basket)
	mux.HandleFunc("GET /me", a.me)
	mux.HandleFunc("GET /report", a.report)
	mux.HandleFunc("POST /uploads", a.upload)
	return cors(mux)
}

// cors lets every page in, with credentials, by saying its Origin back to it, and does not say Vary.
func cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, PUT, POST")
			w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// product has a short form for phones, which Vary does not say.
func (a *api) product(w http.ResponseWriter, r *http.Request) {
	id, ok := number(w, r)
	if !ok {
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=600")
	if r.Header.Get("Sec-CH-UA-Mobile") == "?1" {
		answer(w, r, map[string]any{"id": id, "name": a.name(id)})
		return
	}
	answer(w, r, map[string]any{"id": id, "name": a.name(id), "text": "One of the finest things of its kind."})
}

func (a *api) rename(w http.ResponseWriter, r *http.Request) {
	id, ok := number(w, r)
	if !ok {
		return
	}
	var edit struct{ Name string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&edit); err != nil {
		say(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	a.mu.Lock()
	a.names[id] = edit.Name
	a.mu.Unlock()
	say(w, http.StatusOK, map[string]any{"id": id, "name": edit.Name})
}

func (a *api) name(id int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return cmp.Or(a.names[id], fmt.Sprintf("Thing %d", id))
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	page, err := strconv.Atoi(cmp.Or(r.FormValue("page"), "1"))
	if err != nil || page < 1 || page > products/pageSize {
		say(w, http.StatusNotFound, map[string]any{"error": "no such page"})
		return
	}
	var items []string
	for i := range pageSize {
		items = append(items, a.name((page-1)*pageSize+i+1))
	}
	if r.FormValue("sort") == "-id" {
		slices.Reverse(items)
	}
	answer(w, r, map[string]any{"page": page, "items": items})
}

// price depends on the key of the client, and has a lifetime all the same.
func (a *api) price(w http.ResponseWriter, r *http.Request) {
	id, ok := number(w, r)
	if !ok {
		return
	}
	percent, known := tiers[r.Header.Get("X-Api-Key")]
	if !known {
		w.Header().Set("WWW-Authenticate", "ApiKey")
		say(w, http.StatusUnauthorized, map[string]any{"error": "send a key in X-Api-Key"})
		return
	}
	w.Header().Set("Cache-Control", "max-age=60")
	answer(w, r, map[string]any{"id": id, "cents": id * percent})
}

// basket is that of the session, which a cookie names and is given by.
func (a *api) basket(w http.ResponseWriter, r *http.Request) {
	session, err := r.Cookie("session")
	if err != nil {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "new", Path: "/", HttpOnly: true})
		say(w, http.StatusOK, map[string]any{"items": 0})
		return
	}
	answer(w, r, map[string]any{"items": len(session.Value)})
}

func (a *api) me(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("Authorization")
	if token == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		say(w, http.StatusUnauthorized, map[string]any{"error": "send a token"})
		return
	}
	answer(w, r, map[string]any{"you": token})
}

func (a *api) report(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(reportTakes):
		say(w, http.StatusOK, map[string]any{"report": "done"})
	case <-r.Context().Done():
	}
}

func (a *api) upload(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxUpload))
	if err != nil {
		say(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	w.Header().Set("Location", "/uploads/1")
	say(w, http.StatusCreated, map[string]any{"bytes": n})
}

func number(w http.ResponseWriter, r *http.Request) (id int, ok bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if ok = err == nil && id >= 1 && id <= products; !ok {
		say(w, http.StatusNotFound, map[string]any{"error": "no such product"})
	}
	return id, ok
}

// answer has a validator and parts.
func answer(w http.ResponseWriter, r *http.Request, v any) {
	body := encode(v)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", fmt.Sprintf(`"%.4x"`, sha256.Sum256(body)))
	http.ServeContent(w, r, "", modified, bytes.NewReader(body))
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v)) // fails where the client has gone
}

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	return append(body, '\n')
}
