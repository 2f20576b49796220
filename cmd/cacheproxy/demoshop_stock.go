package main

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	demoMaxItems    = 100
	demoMaxQuantity = 10_000
)

type demoStock struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
}

type demoItem struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// stockOf returns the stock of a product that exists. The caller holds mu.
func (s *demoShop) stockOf(id int64) demoStock {
	if stock, ok := s.stock[id]; ok {
		return stock
	}
	return demoStock{SKU: demoSKU(id), OnHand: 100 + id%900, Available: 100 + id%900}
}

// productOf returns the id of the product that has this sku, or 0. The caller
// holds mu.
func (s *demoShop) productOf(sku string) int64 {
	digits, ok := strings.CutPrefix(sku, "P")
	id, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || id < 1 || id > demoProducts || s.deleted[id] || demoSKU(id) != sku {
		return 0
	}
	return id
}

func (s *demoShop) getStock(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	s.mu.RLock()
	id := s.productOf(sku)
	stock := s.stockOf(id)
	s.mu.RUnlock()
	if id == 0 {
		return demoFail(http.StatusNotFound, "stock of %q: not found", sku)
	}
	w.Header().Set("Surrogate-Key", "stock:"+url.PathEscape(sku))
	return demoServe(w, r, stock)
}

// changeStock answers PUT, adjust, reserve and release.
func (s *demoShop) changeStock(w http.ResponseWriter, r *http.Request) error {
	change, err := readDemoChange(r)
	if err != nil {
		return err
	}
	sku := r.PathValue("sku")
	s.mu.Lock()
	stock, err := s.applyChange(sku, change)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Location", "/inventory/"+url.PathEscape(sku))
	return demoAnswer(w, stock)
}

// applyChange changes the stock of a sku or says why not. The caller holds mu.
func (s *demoShop) applyChange(sku string, change func(*demoStock)) (demoStock, error) {
	id := s.productOf(sku)
	if id == 0 {
		return demoStock{}, demoFail(http.StatusNotFound, "stock of %q: not found", sku)
	}
	stock := s.stockOf(id)
	change(&stock)
	if stock.Reserved < 0 || stock.OnHand < stock.Reserved {
		return demoStock{}, demoFail(http.StatusConflict, "stock of %q: not enough stock", sku)
	}
	stock.Available = stock.OnHand - stock.Reserved
	s.stock[id] = stock
	return stock, nil
}

// readDemoChange reads what a request does to the stock of one sku.
func readDemoChange(r *http.Request) (func(*demoStock), error) {
	within := func(n, low int64) bool { return n >= low && n <= demoMaxCount }
	switch name := path.Base(r.Pattern); name {
	case "adjust":
		var body struct {
			Delta int64 `json:"delta"`
		}
		err := demoRead(r, &body)
		if err == nil && (body.Delta == 0 || !within(body.Delta, -demoMaxCount)) {
			err = demoFail(http.StatusBadRequest, "delta must be a number other than 0, at most %d either way", demoMaxCount)
		}
		return func(s *demoStock) { s.OnHand += body.Delta }, err
	case "reserve", "release":
		var body struct {
			Quantity int64 `json:"quantity"`
		}
		err := demoRead(r, &body)
		if err == nil && !within(body.Quantity, 1) {
			err = demoFail(http.StatusBadRequest, "quantity must be a number from 1 to %d", demoMaxCount)
		}
		if name == "release" {
			return func(s *demoStock) { s.Reserved -= body.Quantity }, err
		}
		return func(s *demoStock) { s.Reserved += body.Quantity }, err
	default:
		var body struct {
			OnHand *int64 `json:"on_hand"`
		}
		err := demoRead(r, &body)
		if err == nil && (body.OnHand == nil || !within(*body.OnHand, 0)) {
			err = demoFail(http.StatusBadRequest, "on_hand must be a number from 0 to %d", demoMaxCount)
		}
		return func(s *demoStock) { s.OnHand = *body.OnHand }, err
	}
}

func (s *demoShop) checkout(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Items []demoItem `json:"items"`
	}
	if err := demoRead(r, &body); err != nil {
		return err
	}
	items, err := mergeDemoItems(body.Items)
	if err != nil {
		return err
	}
	s.mu.Lock()
	order, total, err := s.placeOrder(items)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	demoWrite(w, http.StatusCreated, struct {
		ID         int64      `json:"order_id"`
		Items      []demoItem `json:"items"`
		TotalCents int64      `json:"total_cents"`
	}{order, items, total})
	return nil
}

// placeOrder takes all items out of stock, or none. The caller holds mu.
func (s *demoShop) placeOrder(items []demoItem) (order, totalCents int64, err error) {
	for _, item := range items {
		id := s.productOf(item.SKU)
		if id == 0 {
			return 0, 0, demoFail(http.StatusBadRequest, "at least one sku does not exist")
		}
		if left := s.stockOf(id).Available; left < item.Quantity {
			return 0, 0, demoFail(http.StatusConflict, "not enough stock: %d of %s are left", left, item.SKU)
		}
		totalCents += item.Quantity * s.product(id).Price.AmountCents
	}
	for _, item := range items {
		if _, err := s.applyChange(item.SKU, func(s *demoStock) { s.OnHand -= item.Quantity }); err != nil {
			return 0, 0, err
		}
	}
	s.orders++
	return s.orders, totalCents, nil
}

// mergeDemoItems checks the lines of a checkout and returns them in order of
// sku, one to a sku.
func mergeDemoItems(items []demoItem) ([]demoItem, error) {
	if len(items) < 1 || len(items) > demoMaxItems {
		return nil, demoFail(http.StatusBadRequest, "items must have 1 to %d lines", demoMaxItems)
	}
	quantity := map[string]int64{}
	for _, item := range items {
		if item.SKU == "" || item.Quantity < 1 || item.Quantity > demoMaxQuantity {
			return nil, demoFail(http.StatusBadRequest, "every item needs a sku and a quantity from 1 to %d", demoMaxQuantity)
		}
		quantity[item.SKU] += item.Quantity
	}
	merged := make([]demoItem, 0, len(quantity))
	for sku, n := range quantity {
		merged = append(merged, demoItem{sku, n})
	}
	slices.SortFunc(merged, func(a, b demoItem) int { return strings.Compare(a.SKU, b.SKU) })
	return merged, nil
}
