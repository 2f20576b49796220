package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"

	"github.com/anishathalye/porcupine"
)

// skus is how many the shop has. Of every eighth there is little, so that the last piece is often asked for.
const skus = 64

// hot is how many of them half of the requests are for.
const hot = 7

func scarce(sku int) bool { return sku%8 == 0 }

func name(sku int) string { return fmt.Sprintf("P%07d", sku) }

// history is what clients have asked and were told, by sku. It is safe for concurrent use.
type history struct {
	began time.Time
	sets  atomic.Int64 // numbers them, so that no two set the same

	mu         sync.Mutex
	bySKU      map[string][]porcupine.Operation
	counts     map[string]int // of answers, in words
	requests   int
	operations int // in bySKU
}

func newHistory() *history {
	return &history{began: time.Now(), bySKU: map[string][]porcupine.Operation{}, counts: map[string]int{}}
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add notes what was asked of one sku, which ends now.
func (h *history) add(client int, sku string, call int64, in input, out output) {
	end := h.now()
	if out.outcome == unknown {
		end = never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bySKU[sku] = append(h.bySKU[sku], porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
	h.operations++
}

func (h *history) count(answer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[answer]++
	h.requests++
}

func (h *history) done() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.operations
}

// client makes one request after the other.
type client struct {
	number int
	scene  *scene
	*history
	http *http.Client
}

// answer is what a client was told; nil: nothing that says what became of it.
type answer struct {
	status int
	body   []byte
	copied bool // it is from a copy
}

// undone says that a request has certainly not come to the shop.
var errUndone = errors.New("it was not done")

// ask sends a request to an instance, and says with errUndone that it has come to nothing.
func (c *client) ask(instance int, method, path, body string) (answer, error) {
	p := c.scene.at(instance)
	if p == nil {
		<-time.After(5 * time.Millisecond)
		return answer{}, errUndone
	}
	request, err := http.NewRequestWithContext(c.scene.t.Context(), method, p.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, errUndone
	}
	request.Host = "shop.example"
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set(through, strconv.Itoa(instance))
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.count(method + ": no answer")
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return answer{}, errUndone
		}
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	status := response.Header.Get("Cache-Status")
	c.count(fmt.Sprintf("%s: %d", method, response.StatusCode))
	switch {
	case err != nil:
		return answer{}, err
	case response.StatusCode == http.StatusServiceUnavailable && strings.Contains(status, "detail=store-down"):
		return answer{status: response.StatusCode, body: text}, errUndone // the proxy says so
	case strings.Contains(status, "detail=not-confirmed") && response.StatusCode < 300:
		c.count("not confirmed")
	}
	return answer{response.StatusCode, text, strings.Contains(status, "; hit")}, nil
}

// read reads a sku from an instance. What it was not told, it has not seen. It says whether the answer was a copy.
func (c *client) read(instance, sku int) (copied bool) {
	call := c.now()
	a, err := c.ask(instance, http.MethodGet, "/inventory/"+name(sku), "")
	var stock demo.Stock
	if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &stock) != nil {
		return false
	}
	c.add(c.number, name(sku), call, input{kind: read}, output{n: stock.OnHand})
	return a.copied
}

// set sets what there is of a sku.
func (c *client) set(instance, sku int, n int64) bool {
	call := c.now()
	a, err := c.ask(instance, http.MethodPut, "/inventory/"+name(sku), fmt.Sprintf(`{"on_hand":%d}`, n))
	if errors.Is(err, errUndone) {
		return false
	}
	out := output{}
	if err != nil || a.status != http.StatusOK {
		out.outcome = unknown
	}
	c.add(c.number, name(sku), call, input{set, n}, out)
	return out.outcome == done
}

// take buys one of each of some skus, or nothing.
func (c *client) take(instance int, basket ...int) (status int) {
	var items []demo.Item
	for _, sku := range basket {
		items = append(items, demo.Item{SKU: name(sku), Quantity: 1})
	}
	body, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		c.scene.t.Error(err)
		return 0
	}
	call := c.now()
	a, err := c.ask(instance, http.MethodPost, "/checkout", string(body))
	if errors.Is(err, errUndone) {
		return a.status
	}
	var out output
	switch {
	case err == nil && a.status == http.StatusCreated:
	case err == nil && a.status == http.StatusConflict:
		if out.outcome = short; len(basket) > 1 {
			return a.status // it does not say of which there was too little
		}
	default:
		out.outcome = unknown
	}
	for _, sku := range basket {
		c.add(c.number, name(sku), call, input{take, 1}, out)
	}
	return a.status
}

// step makes a few requests of one sku.
func (c *client) step() {
	sku := 1 + rand.IntN(skus)
	if rand.IntN(2) == 0 {
		sku = 1 + rand.IntN(hot)
	}
	instance := rand.IntN(instances)
	switch of := rand.IntN(100); {
	case of < 70:
		c.read(instance, sku)
		return
	case of < 82:
		n := 1000 * (1 + c.sets.Add(1))
		if scarce(sku) {
			n = int64(rand.IntN(4))
		}
		c.set(instance, sku, n)
	case of < 97 || scarce(sku):
		c.take(instance, sku)
	default:
		c.take(instance, sku, 1+sku%(skus-1))
	}
	// Who reads elsewhere what was just written finds what is not known there yet.
	for i := range instances {
		c.read((instance+1+i)%instances, sku)
	}
}
