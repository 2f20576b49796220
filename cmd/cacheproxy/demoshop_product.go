package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	demoProducts = 10_000
	demoPageSize = 20
)

type demoNamed struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type demoProduct struct {
	ID          int64  `json:"id"`
	SKU         string `json:"sku"`
	Slug        string `json:"slug"`
	Title       string `json:"title"`
	Summary     string `json:"summary"`
	Description string `json:"description"`
	Category    struct {
		demoNamed
		Parent demoNamed `json:"parent"`
	} `json:"category"`
	Brand struct {
		demoNamed
		Country string `json:"country"`
	} `json:"brand"`
	Supplier struct {
		demoNamed
		LeadTimeDays int64 `json:"lead_time_days"`
	} `json:"supplier"`
	Price struct {
		Currency    string `json:"currency"`
		AmountCents int64  `json:"amount_cents"`
		ListCents   int64  `json:"list_cents"`
		Tax         struct {
			Name         string `json:"name"`
			RatePermille int64  `json:"rate_permille"`
		} `json:"tax"`
	} `json:"price"`
	Availability string       `json:"availability"`
	Media        []demoMedium `json:"media"`
	Reviews      struct {
		Count   int64   `json:"count"`
		Average float64 `json:"average"`
		Stars   []int64 `json:"stars"`
	} `json:"reviews"`
	WeightGrams int64     `json:"weight_g"`
	Version     int64     `json:"version"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type demoMedium struct {
	URL string `json:"url"`
	Alt string `json:"alt"`
}

// product returns the product as it is, or nil. The caller holds mu.
func (s *demoShop) product(id int64) *demoProduct {
	if id < 1 || id > demoProducts || s.deleted[id] {
		return nil
	}
	p := s.edited[id]
	if p == nil {
		p = seedDemoProduct(id)
	}
	current := *p
	switch available := s.stockOf(id).Available; {
	case available <= 0:
		current.Availability = "out"
	case available < 10:
		current.Availability = "low"
	default:
		current.Availability = "in_stock"
	}
	return &current
}

func (s *demoShop) getProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := demoProductID(r)
	if err != nil {
		return err
	}
	s.mu.RLock()
	p := s.product(id)
	s.mu.RUnlock()
	if p == nil {
		return demoFail(http.StatusNotFound, "product %d: not found", id)
	}
	describeDemoProduct(w.Header(), p)
	return demoServe(w, r, p)
}

func (s *demoShop) editProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := demoProductID(r)
	if err != nil {
		return err
	}
	var e demoEdit
	if err := demoRead(r, &e); err != nil {
		return err
	}
	if err := e.check(r.Method == http.MethodPut); err != nil {
		return err
	}
	s.mu.Lock()
	p := s.product(id)
	if p != nil {
		e.apply(p)
		s.edited[id] = p
	}
	s.mu.Unlock()
	if p == nil {
		return demoFail(http.StatusNotFound, "product %d: not found", id)
	}
	describeDemoProduct(w.Header(), p)
	w.Header().Set("Content-Location", r.URL.EscapedPath())
	return demoAnswer(w, p)
}

func (s *demoShop) deleteProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := demoProductID(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	p := s.product(id)
	if p != nil {
		s.deleted[id] = true
	}
	s.mu.Unlock()
	if p == nil {
		return demoFail(http.StatusNotFound, "product %d: not found", id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *demoShop) listProducts(w http.ResponseWriter, r *http.Request) error {
	query, page, sort := r.URL.Query(), 1, "id"
	if query.Has("page") {
		var err error
		if page, err = strconv.Atoi(query.Get("page")); err != nil || page < 1 || page > 1000 {
			return demoFail(http.StatusBadRequest, "page must be a number from 1 to 1000")
		}
	}
	if query.Has("sort") {
		sort = query.Get("sort")
	}
	order, ok := demoSorts[sort]
	if !ok {
		return demoFail(http.StatusBadRequest, "sort must be id, newest, price or -price")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := s.ranks()
	slices.SortFunc(all, order)
	from := min((page-1)*demoPageSize, len(all))
	to := min(from+demoPageSize, len(all))
	items := make([]demoListItem, 0, demoPageSize)
	for _, rank := range all[from:to] {
		p := s.product(rank.id)
		items = append(items, demoListItem{p.ID, p.SKU, p.Title, p.Brand.Name, p.Price.AmountCents})
	}
	var next *int
	if to < len(all) {
		next = new(int)
		*next = page + 1
	}
	w.Header().Set("Surrogate-Key", "product-list")
	return demoServe(w, r, struct {
		Page  int            `json:"page"`
		Sort  string         `json:"sort"`
		Items []demoListItem `json:"items"`
		Next  *int           `json:"next"`
	}{page, sort, items, next})
}

type demoListItem struct {
	ID          int64  `json:"id"`
	SKU         string `json:"sku"`
	Title       string `json:"title"`
	Brand       string `json:"brand"`
	AmountCents int64  `json:"amount_cents"`
}

// demoRank is what listings are sorted by.
type demoRank struct{ id, cents int64 }

var demoSorts = map[string]func(a, b demoRank) int{
	"id":     func(a, b demoRank) int { return cmp.Compare(a.id, b.id) },
	"newest": func(a, b demoRank) int { return cmp.Compare(b.id, a.id) },
	"price":  func(a, b demoRank) int { return cmp.Or(cmp.Compare(a.cents, b.cents), cmp.Compare(a.id, b.id)) },
	"-price": func(a, b demoRank) int { return cmp.Or(cmp.Compare(b.cents, a.cents), cmp.Compare(b.id, a.id)) },
}

// ranks returns one rank for every product that exists. The caller holds mu.
func (s *demoShop) ranks() []demoRank {
	all := make([]demoRank, 0, demoProducts)
	for id := int64(1); id <= demoProducts; id++ {
		if s.deleted[id] {
			continue
		}
		rank := demoRank{id, demoCents(id)}
		if p := s.edited[id]; p != nil {
			rank.cents = p.Price.AmountCents
		}
		all = append(all, rank)
	}
	return all
}

// demoEdit changes a product; a nil field stays as it is.
type demoEdit struct {
	Title       *string `json:"title"`
	Summary     *string `json:"summary"`
	Description *string `json:"description"`
	CategoryID  *int64  `json:"category_id"`
	AmountCents *int64  `json:"amount_cents"`
}

// check says what is wrong with an edit; one that replaces must name all.
func (e demoEdit) check(replace bool) error {
	if replace && (e.Title == nil || e.Summary == nil || e.Description == nil || e.CategoryID == nil || e.AmountCents == nil) {
		return demoFail(http.StatusBadRequest, "PUT needs title, summary, description, category_id and amount_cents; PATCH changes some")
	}
	if e == (demoEdit{}) {
		return demoFail(http.StatusBadRequest, "PATCH names nothing to change")
	}
	for _, text := range []*string{e.Title, e.Summary, e.Description} {
		if text != nil && (*text == "" || len(*text) > 20000) {
			return demoFail(http.StatusBadRequest, "title, summary and description must have 1 to 20000 bytes")
		}
	}
	if e.CategoryID != nil && (*e.CategoryID < 21 || *e.CategoryID > 420) {
		return demoFail(http.StatusBadRequest, "there is no such category; they are numbered from 21 to 420")
	}
	if e.AmountCents != nil && (*e.AmountCents < 1 || *e.AmountCents > demoMaxCount) {
		return demoFail(http.StatusBadRequest, "amount_cents must be a number from 1 to %d", demoMaxCount)
	}
	return nil
}

func (e demoEdit) apply(p *demoProduct) {
	for _, text := range []struct{ from, to *string }{{e.Title, &p.Title}, {e.Summary, &p.Summary}, {e.Description, &p.Description}} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if e.CategoryID != nil {
		setDemoCategory(p, *e.CategoryID)
	}
	if e.AmountCents != nil {
		p.Price.AmountCents = *e.AmountCents
	}
	p.Version++
	p.UpdatedAt = p.UpdatedAt.Add(time.Second) // not the clock's: a demo can be repeated
}

func demoProductID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, demoFail(http.StatusBadRequest, "the id of a product is a positive integer")
	}
	return id, nil
}

func describeDemoProduct(h http.Header, p *demoProduct) {
	h.Set("Surrogate-Key", fmt.Sprintf("product:%d category:%d", p.ID, p.Category.ID))
	h.Set("Cache-Control", "public, max-age=600")
}
