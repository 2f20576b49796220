package shop

import (
	"fmt"
	"net/http"
	"strconv"
)

const (
	pageSize = 20

	// maxPage bounds how many rows a listing makes the database skip.
	maxPage = 1000
)

// List is what GET /products answers.
type List struct {
	Page  int        `json:"page"`
	Sort  string     `json:"sort"`
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

// sortOrders maps the values of the query parameter sort to SQL.
var sortOrders = map[string]string{
	"id":     "p.id",
	"newest": "p.id DESC",
	"price":  "e.amount_cents, p.id",
	"-price": "e.amount_cents DESC, p.id DESC",
}

func (s *shop) listProducts(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	list := List{Page: 1, Sort: "id"}
	if query.Has("page") {
		page, err := strconv.Atoi(query.Get("page"))
		if err != nil || page < 1 || page > maxPage {
			return fmt.Errorf("%w: page must be a number from 1 to %d", ErrInvalid, maxPage)
		}
		list.Page = page
	}
	if query.Has("sort") {
		list.Sort = query.Get("sort")
	}
	order, ok := sortOrders[list.Sort]
	if !ok {
		return fmt.Errorf("%w: sort must be id, newest, price or -price", ErrInvalid)
	}
	// One more than a page holds tells whether there is a next page.
	items, err := s.db.List(r.Context(), order, (list.Page-1)*pageSize, pageSize+1)
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
