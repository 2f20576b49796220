package shop_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cacheproxy/cmd/cacheproxy/demo"
)

// Buyers compete for two items, naming them in opposite orders: were rows
// locked in the order of the request they would deadlock, and were stock read
// before it is locked they would oversell.
func TestConcurrentCheckoutsNeverOversell(t *testing.T) {
	const (
		buyers   = 16
		attempts = 25
		stock    = 150 // fewer than buyers*attempts
	)
	url := open(t, demo.Options{})
	for _, sku := range []string{"P0000001", "P0000002"} {
		send(t, "PUT", url+"/inventory/"+sku, fmt.Sprintf(`{"on_hand": %d}`, stock))
	}
	baskets := []string{
		`{"items":[{"sku":"P0000001","quantity":1},{"sku":"P0000002","quantity":1}]}`,
		`{"items":[{"sku":"P0000002","quantity":1},{"sku":"P0000001","quantity":1}]}`,
	}
	var sold, refused, other atomic.Int64
	var buying sync.WaitGroup
	for buyer := range buyers {
		buying.Go(func() {
			for range attempts {
				response, err := http.Post(url+"/checkout", "application/json", strings.NewReader(baskets[buyer%2]))
				if err != nil {
					other.Add(1)
					continue
				}
				if err := response.Body.Close(); err != nil {
					other.Add(1)
				}
				switch response.StatusCode {
				case http.StatusCreated:
					sold.Add(1)
				case http.StatusConflict:
					refused.Add(1)
				default:
					other.Add(1)
				}
			}
		})
	}
	buying.Wait()
	if sold.Load() != stock || refused.Load() != buyers*attempts-stock || other.Load() != 0 {
		t.Errorf("%d sold, %d refused, %d failed; want %d, %d and none", sold.Load(), refused.Load(), other.Load(), stock, buyers*attempts-stock)
	}
	for _, sku := range []string{"P0000001", "P0000002"} {
		if s := decode[demo.Stock](t, send(t, "GET", url+"/inventory/"+sku, "")); s.OnHand != 0 {
			t.Errorf("%d of %s left, want none", s.OnHand, sku)
		}
	}
}
