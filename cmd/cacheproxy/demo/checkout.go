package demo

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	// maxItems bounds the lines of one checkout.
	maxItems = 100

	// maxLineQuantity bounds the quantity of one line.
	maxLineQuantity = 10_000
)

// Item is a line of a checkout.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Order is the answer of POST /checkout with 201.
type Order struct {
	ID         int64  `json:"order_id"`
	Items      []Item `json:"items"` // in order of sku, one line to a sku
	TotalCents int64  `json:"total_cents"`
}

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Items []Item `json:"items"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	items, err := mergeItems(body.Items)
	if err != nil {
		return err
	}
	order, err := s.store.Checkout(r.Context(), items)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, order)
	return nil
}

// mergeItems checks the lines of a checkout and returns them in order of sku, one to a sku. Stores lock rows in this
// order, so that two checkouts never wait for each other.
func mergeItems(items []Item) ([]Item, error) {
	if len(items) < 1 || len(items) > maxItems {
		return nil, fmt.Errorf("%w: items must have 1 to %d lines", ErrInvalid, maxItems)
	}
	quantity := make(map[string]int64, len(items))
	for _, item := range items {
		if item.SKU == "" || strings.ContainsRune(item.SKU, 0) || item.Quantity < 1 || item.Quantity > maxLineQuantity {
			return nil, fmt.Errorf("%w: every item needs a sku and a quantity from 1 to %d", ErrInvalid, maxLineQuantity)
		}
		quantity[item.SKU] += item.Quantity
	}
	merged := make([]Item, 0, len(quantity))
	for sku, n := range quantity {
		merged = append(merged, Item{SKU: sku, Quantity: n})
	}
	slices.SortFunc(merged, func(a, b Item) int { return strings.Compare(a.SKU, b.SKU) })
	return merged, nil
}
