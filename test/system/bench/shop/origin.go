package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/system/shop"
)

// origin is the shop on a port of its own.
type origin struct {
	*httptest.Server

	// ages, while the cache is being warmed up, are the Age in seconds with
	// which product pages are answered, by id; nil at any other time.
	ages atomic.Pointer[[]atomic.Int64]
}

func startOrigin(db *shop.Database, maxAge time.Duration) *origin {
	o := &origin{}
	o.Server = httptest.NewServer(o.aged(demo.New(db, demo.Options{MaxAge: maxAge})))
	return o
}

// aged lets product pages look as if a cache before the shop had held them for
// a while (RFC 9111, section 5.1), so that the copies of a warm-up expire when
// those of a cache that has run for long would.
func (o *origin) aged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ages := o.ages.Load(); ages != nil {
			id, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/products/"))
			if err == nil && id > 0 && id < len(*ages) {
				w.Header().Set("Age", strconv.FormatInt((*ages)[id].Load(), 10))
			}
		}
		next.ServeHTTP(w, r)
	})
}
