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

	// ages are, during the warm-up, the Age in seconds of product pages, by id; nil at any other time.
	ages atomic.Pointer[[]atomic.Int64]
}

func startOrigin(db *shop.Database, maxAge time.Duration) *origin {
	o := &origin{}
	o.Server = httptest.NewServer(o.aged(demo.New(db, demo.Options{MaxAge: maxAge})))
	return o
}

// aged makes product pages look as if a cache before the shop had held them for a while (RFC 9111, section 5.1). The
// copies of a warm-up then expire at the times at which copies of a long-running cache would.
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
