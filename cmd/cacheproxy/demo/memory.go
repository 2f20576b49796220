package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a store without a database. Unedited products follow from their ids, so that all stores of one size begin
// equal.
type Memory struct {
	products int64
	latency  time.Duration

	mu      sync.RWMutex // guards the fields below
	edited  map[int64]Product
	deleted map[int64]bool
	stock   map[int64]Stock // by product id; without an entry, as seeded
	orders  int64
}

// NewMemory makes a store of products numbered from 1. Every call takes latency, as a call of a database would. With
// zero or less, calls return at once.
func NewMemory(products int, latency time.Duration) *Memory {
	return &Memory{
		products: int64(products), latency: latency,
		edited: map[int64]Product{}, deleted: map[int64]bool{}, stock: map[int64]Stock{},
	}
}

// wait waits for the latency of a database.
func (m *Memory) wait(ctx context.Context) error {
	if m.latency <= 0 {
		return nil
	}
	select {
	case <-time.After(m.latency):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ping implements Store.
func (m *Memory) Ping(context.Context) error { return nil }

// Product implements Store.
func (m *Memory) Product(ctx context.Context, id int64) (Product, error) {
	if err := m.wait(ctx); err != nil {
		return Product{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.product(id)
}

// product is the current state of a product. The caller holds mu.
func (m *Memory) product(id int64) (Product, error) {
	if !m.exists(id) {
		return Product{}, fmt.Errorf("product %d: %w", id, ErrNotFound)
	}
	p, edited := m.edited[id]
	if !edited {
		p = seed(id)
	}
	p.Availability = Availability(m.stockOf(id).Available)
	return p, nil
}

// exists reports whether the product exists. The caller holds mu.
func (m *Memory) exists(id int64) bool { return id >= 1 && id <= m.products && !m.deleted[id] }

// EditProduct implements Store.
func (m *Memory) EditProduct(ctx context.Context, id int64, e Edit) (Product, error) {
	if err := m.wait(ctx); err != nil {
		return Product{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p, err := m.product(id)
	if err != nil {
		return Product{}, err
	}
	if e.CategoryID != nil && (*e.CategoryID < firstCategory || *e.CategoryID > lastCategory) {
		return Product{}, fmt.Errorf("%w: there is no such category", ErrInvalid)
	}
	e.apply(&p)
	m.edited[id] = p
	return p, nil
}

func (e Edit) apply(p *Product) {
	for _, text := range []struct{ from, to *string }{{e.Title, &p.Title}, {e.Summary, &p.Summary}, {e.Description, &p.Description}} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if e.CategoryID != nil {
		p.Category = category(*e.CategoryID)
	}
	if e.AmountCents != nil {
		p.Price.AmountCents = *e.AmountCents
	}
	p.Version++
	p.UpdatedAt = p.UpdatedAt.Add(time.Second) // not the clock's, so that a demo can be repeated
}

// DeleteProduct implements Store.
func (m *Memory) DeleteProduct(ctx context.Context, id int64) error {
	if err := m.wait(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.exists(id) {
		return fmt.Errorf("product %d: %w", id, ErrNotFound)
	}
	m.deleted[id] = true
	return nil
}

// rank has the sort keys of listings.
type rank struct{ id, cents int64 }

var sortOrders = map[Sort]func(a, b rank) int{
	ByID:     func(a, b rank) int { return cmp.Compare(a.id, b.id) },
	Newest:   func(a, b rank) int { return cmp.Compare(b.id, a.id) },
	Cheapest: func(a, b rank) int { return cmp.Or(cmp.Compare(a.cents, b.cents), cmp.Compare(a.id, b.id)) },
	Dearest:  func(a, b rank) int { return cmp.Or(cmp.Compare(b.cents, a.cents), cmp.Compare(b.id, a.id)) },
}

// List implements Store.
func (m *Memory) List(ctx context.Context, sort Sort, offset, limit int) ([]ListItem, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := m.ranks()
	slices.SortFunc(all, sortOrders[sort])
	from := min(offset, len(all))
	items := make([]ListItem, 0, limit)
	for _, r := range all[from:min(from+limit, len(all))] {
		p, err := m.product(r.id)
		if err != nil {
			return nil, err
		}
		items = append(items, ListItem{p.ID, p.SKU, p.Title, p.Brand.Name, p.Price.AmountCents})
	}
	return items, nil
}

// ranks returns one rank for every product that exists. The caller holds mu.
func (m *Memory) ranks() []rank {
	all := make([]rank, 0, m.products)
	for id := int64(1); id <= m.products; id++ {
		if m.deleted[id] {
			continue
		}
		r := rank{id, cents(id)}
		if p, edited := m.edited[id]; edited {
			r.cents = p.Price.AmountCents
		}
		all = append(all, r)
	}
	return all
}
