package demo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// stockOf returns the stock of an existing product. The caller holds mu.
func (m *Memory) stockOf(id int64) Stock {
	if stock, ok := m.stock[id]; ok {
		return stock
	}
	return Stock{SKU: sku(id), OnHand: 100 + id%900, Available: 100 + id%900}
}

// productOf returns the id of the product with this sku, or 0. The caller holds mu.
func (m *Memory) productOf(named string) int64 {
	id, err := strconv.ParseInt(strings.TrimPrefix(named, "P"), 10, 64)
	if err != nil || !m.exists(id) || sku(id) != named {
		return 0
	}
	return id
}

// Stock implements Store.
func (m *Memory) Stock(ctx context.Context, sku string) (Stock, error) {
	if err := m.wait(ctx); err != nil {
		return Stock{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	id := m.productOf(sku)
	if id == 0 {
		return Stock{}, fmt.Errorf("stock of %q: %w", sku, ErrNotFound)
	}
	return m.stockOf(id), nil
}

// SetStock implements Store.
func (m *Memory) SetStock(ctx context.Context, sku string, onHand int64) (Stock, error) {
	return m.changeStock(ctx, sku, func(s *Stock) { s.OnHand = onHand })
}

// ChangeStock implements Store.
func (m *Memory) ChangeStock(ctx context.Context, sku string, onHand, reserved int64) (Stock, error) {
	return m.changeStock(ctx, sku, func(s *Stock) { s.OnHand, s.Reserved = s.OnHand+onHand, s.Reserved+reserved })
}

func (m *Memory) changeStock(ctx context.Context, sku string, change func(*Stock)) (Stock, error) {
	if err := m.wait(ctx); err != nil {
		return Stock{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.productOf(sku)
	if id == 0 {
		return Stock{}, fmt.Errorf("stock of %q: %w", sku, ErrNotFound)
	}
	stock := m.stockOf(id)
	change(&stock)
	if stock.Reserved < 0 || stock.OnHand < stock.Reserved {
		return Stock{}, fmt.Errorf("stock of %q: %w", sku, ErrConflict)
	}
	stock.Available = stock.OnHand - stock.Reserved
	m.stock[id] = stock
	return stock, nil
}

// Checkout implements Store.
func (m *Memory) Checkout(ctx context.Context, items []Item) (Order, error) {
	if err := m.wait(ctx); err != nil {
		return Order{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	order, left := Order{Items: items}, map[int64]Stock{}
	for _, item := range items {
		id := m.productOf(item.SKU)
		if id == 0 {
			continue
		}
		stock := m.stockOf(id)
		if stock.Available < item.Quantity {
			return Order{}, fmt.Errorf("check out: %w: %d of %s are left", ErrConflict, stock.Available, item.SKU)
		}
		stock.OnHand, stock.Available = stock.OnHand-item.Quantity, stock.Available-item.Quantity
		left[id] = stock
		p, err := m.product(id)
		if err != nil {
			return Order{}, err
		}
		order.TotalCents += item.Quantity * p.Price.AmountCents
	}
	if len(left) != len(items) {
		return Order{}, fmt.Errorf("check out: %w: at least one sku does not exist", ErrInvalid)
	}
	for id, stock := range left {
		m.stock[id] = stock
	}
	m.orders++
	order.ID = m.orders
	return order, nil
}
