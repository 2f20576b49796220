package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxCents bounds a price, so that no total overflows.
const maxCents = 1_000_000_000

// Product is the answer of GET /products/{id}.
type Product struct {
	ID           int64    `json:"id"`
	SKU          string   `json:"sku"`
	Slug         string   `json:"slug"`
	Title        string   `json:"title"`
	Summary      string   `json:"summary"`
	Description  string   `json:"description"`
	Category     Category `json:"category"`
	Brand        Brand    `json:"brand"`
	Supplier     Supplier `json:"supplier"`
	Price        Price    `json:"price"`
	Availability string   `json:"availability"` // in_stock, low or out
	Media        []Medium `json:"media"`
	Reviews      Reviews  `json:"reviews"`

	WeightGrams int64     `json:"weight_g"`
	Version     int64     `json:"version"` // grows by one with every edit
	UpdatedAt   time.Time `json:"updated_at"`
}

// Category is the category of a product.
type Category struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Parent struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"parent"`
}

// Brand is the brand of a product.
type Brand struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Country string `json:"country"`
}

// Supplier is the supplier of a product.
type Supplier struct {
	ID           int64  `json:"id"`
	Name         string `json:"name"`
	LeadTimeDays int64  `json:"lead_time_days"`
}

// Price is the price of a product, tax included.
type Price struct {
	Currency    string `json:"currency"`
	AmountCents int64  `json:"amount_cents"`
	ListCents   int64  `json:"list_cents"`
	Tax         struct {
		Name         string `json:"name"`
		RatePermille int64  `json:"rate_permille"`
	} `json:"tax"`
}

// Medium is a picture of a product.
type Medium struct {
	URL string `json:"url"`
	Alt string `json:"alt"`
}

// Reviews sums up the customers' reviews.
type Reviews struct {
	Count   int64   `json:"count"`
	Average float64 `json:"average"` // of one to five stars; 0 without reviews
	Stars   []int64 `json:"stars"`   // reviews with one star, two, ... five
}

// Edit changes a product. A nil field stays as it is.
type Edit struct {
	Title       *string `json:"title"`
	Summary     *string `json:"summary"`
	Description *string `json:"description"`
	CategoryID  *int64  `json:"category_id"`
	AmountCents *int64  `json:"amount_cents"`
}

func (e Edit) check() error {
	for _, f := range []struct {
		name string
		text *string
		max  int
	}{{"title", e.Title, 200}, {"summary", e.Summary, 500}, {"description", e.Description, 20000}} {
		if f.text != nil && (*f.text == "" || len(*f.text) > f.max || strings.ContainsRune(*f.text, 0)) {
			return fmt.Errorf("%w: %s must have 1 to %d bytes, none of them NUL", ErrInvalid, f.name, f.max)
		}
	}
	if e.AmountCents != nil && (*e.AmountCents < 1 || *e.AmountCents > maxCents) {
		return fmt.Errorf("%w: amount_cents must be a number from 1 to %d", ErrInvalid, maxCents)
	}
	return nil
}

func (s *shop) getProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := productID(r)
	if err != nil {
		return err
	}
	p, err := s.store.Product(r.Context(), id)
	if err != nil {
		return err
	}
	s.describeProduct(w.Header(), p)
	return serveJSON(w, r, p)
}

func (s *shop) putProduct(w http.ResponseWriter, r *http.Request) error {
	var e Edit
	if err := readJSON(r, &e); err != nil {
		return err
	}
	if e.Title == nil || e.Summary == nil || e.Description == nil || e.CategoryID == nil || e.AmountCents == nil {
		return fmt.Errorf("%w: PUT needs title, summary, description, category_id and amount_cents; PATCH changes some", ErrInvalid)
	}
	return s.edit(w, r, e)
}

func (s *shop) patchProduct(w http.ResponseWriter, r *http.Request) error {
	var e Edit
	if err := readJSON(r, &e); err != nil {
		return err
	}
	if e == (Edit{}) {
		return fmt.Errorf("%w: PATCH names nothing to change", ErrInvalid)
	}
	return s.edit(w, r, e)
}

func (s *shop) edit(w http.ResponseWriter, r *http.Request, e Edit) error {
	id, err := productID(r)
	if err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	p, err := s.store.EditProduct(r.Context(), id, e)
	if err != nil {
		return err
	}
	s.describeProduct(w.Header(), p)
	return writeChanged(w, r.URL.EscapedPath(), p)
}

func (s *shop) deleteProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := productID(r)
	if err != nil {
		return err
	}
	if err := s.store.DeleteProduct(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *shop) describeProduct(h http.Header, p Product) {
	h.Set("Surrogate-Key", fmt.Sprintf("product:%d category:%d", p.ID, p.Category.ID))
	if s.options.MaxAge > 0 {
		h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int64(s.options.MaxAge/time.Second)))
	}
}

func productID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("%w: the id of a product is a positive integer", ErrInvalid)
	}
	return id, nil
}

// Availability is the available stock of a product in a word.
func Availability(available int64) string {
	switch {
	case available <= 0:
		return "out"
	case available < 10:
		return "low"
	default:
		return "in_stock"
	}
}

// SumUp sums up reviews. stars has the number of reviews with one star, two, ... five.
func SumUp(stars []int64) Reviews {
	r := Reviews{Stars: stars}
	var sum int64
	for i, n := range stars {
		r.Count += n
		sum += n * int64(i+1)
	}
	if r.Count > 0 {
		r.Average = float64(sum*10/r.Count) / 10
	}
	return r
}
