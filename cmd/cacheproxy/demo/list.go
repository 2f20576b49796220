package demo

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

const (
	pageSize = 20

	// maxPage bounds the rows that a listing makes the database skip.
	maxPage = 1000
)

// List is the answer of GET /products.
type List struct {
	Page  int        `json:"page"`
	Sort  Sort       `json:"sort"`
	Items []ListItem `json:"items"`
	Next  *int       `json:"next"` // the page after this one; null on the last
}

// ListItem is one product in a listing.
type ListItem struct {
	ID          int64  `json:"id"`
	SKU         string `json:"sku"`
	Title       string `json:"title"`
	Brand       string `json:"brand"`
	AmountCents int64  `json:"amount_cents"`
}

// Sort is the order of a listing, as the query parameter sort names it.
type Sort string

const (
	ByID     Sort = "id"
	Newest   Sort = "newest" // the largest id first
	Cheapest Sort = "price"  // then by id
	Dearest  Sort = "-price" // reverse of Cheapest
)

func (s *shop) listProducts(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	list := List{Page: 1, Sort: ByID}
	if query.Has("page") {
		page, err := strconv.Atoi(query.Get("page"))
		if err != nil || page < 1 || page > maxPage {
			return fmt.Errorf("%w: page must be a number from 1 to %d", ErrInvalid, maxPage)
		}
		list.Page = page
	}
	if query.Has("sort") {
		list.Sort = Sort(query.Get("sort"))
	}
	if !slices.Contains([]Sort{ByID, Newest, Cheapest, Dearest}, list.Sort) {
		return fmt.Errorf("%w: sort must be id, newest, price or -price", ErrInvalid)
	}
	// One item more than a page holds tells whether there is a next page.
	items, err := s.store.List(r.Context(), list.Sort, (list.Page-1)*pageSize, pageSize+1)
	if err != nil {
		return err
	}
	if len(items) > pageSize {
		items = items[:pageSize]
		if next := list.Page + 1; next <= maxPage {
			list.Next = &next
		}
	}
	list.Items = items
	w.Header().Set("Surrogate-Key", "product-list")
	return serveJSON(w, r, list)
}
