package demo

import (
	"context"
	"errors"
)

var (
	// ErrNotFound: the product or sku does not exist.
	ErrNotFound = errors.New("not found")

	// ErrConflict: the change would leave less stock than is reserved or ordered.
	ErrConflict = errors.New("not enough stock")

	// ErrInvalid: the request is invalid whatever the state of the shop.
	ErrInvalid = errors.New("invalid request")
)

// Store is where a shop keeps its goods. Methods may be called concurrently, and each takes effect completely or not at
// all. The error for a product or sku that does not exist is ErrNotFound.
type Store interface {
	// Ping reports whether the store answers.
	Ping(ctx context.Context) error

	Product(ctx context.Context, id int64) (Product, error)

	// EditProduct changes a product and returns its new state. The error is ErrInvalid where the category does not
	// exist.
	EditProduct(ctx context.Context, id int64, e Edit) (Product, error)

	DeleteProduct(ctx context.Context, id int64) error

	// List reads a part of the catalogue.
	List(ctx context.Context, sort Sort, offset, limit int) ([]ListItem, error)

	Stock(ctx context.Context, sku string) (Stock, error)

	// SetStock sets the stock on hand. The error is ErrConflict where that would be less than the reserved stock.
	SetStock(ctx context.Context, sku string, onHand int64) (Stock, error)

	// ChangeStock adds to the stock on hand and to the reserved stock. The error is ErrConflict where the stock on hand
	// would be less than the reserved stock, or the reserved stock negative.
	ChangeStock(ctx context.Context, sku string, onHand, reserved int64) (Stock, error)

	// Checkout takes the items, one to a sku and in order of sku, out of stock and records the order. The error is
	// ErrConflict where an item is short, else ErrInvalid where a sku does not exist.
	Checkout(ctx context.Context, items []Item) (Order, error)
}
