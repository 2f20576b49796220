package demo

import (
	"context"
	"errors"
)

var (
	// ErrNotFound: there is no such product or sku.
	ErrNotFound = errors.New("not found")

	// ErrConflict: the change would leave less stock than is promised.
	ErrConflict = errors.New("not enough stock")

	// ErrInvalid: the request makes no sense whatever the state of the shop.
	ErrInvalid = errors.New("invalid request")
)

// Store is where a shop keeps what it sells. Its methods may be called concurrently, and each of them is done completely or
// not at all. ErrNotFound is the error where the product or sku that is asked for does not exist.
type Store interface {
	// Ping asks whether the store answers.
	Ping(ctx context.Context) error

	Product(ctx context.Context, id int64) (Product, error)

	// EditProduct changes a product and returns it as it is then. The error is ErrInvalid where the category does not exist.
	EditProduct(ctx context.Context, id int64, e Edit) (Product, error)

	DeleteProduct(ctx context.Context, id int64) error

	// List reads part of the catalogue.
	List(ctx context.Context, sort Sort, offset, limit int) ([]ListItem, error)

	Stock(ctx context.Context, sku string) (Stock, error)

	// SetStock sets what is on hand. The error is ErrConflict when that is less than what is reserved.
	SetStock(ctx context.Context, sku string, onHand int64) (Stock, error)

	// ChangeStock adds to what is on hand and to what is reserved. The error is ErrConflict when less would be on hand than
	// reserved, or less than nothing reserved.
	ChangeStock(ctx context.Context, sku string, onHand, reserved int64) (Stock, error)

	// Checkout takes the items, one to a sku and in order of sku, out of stock and records the order. The error is ErrConflict
	// when one is short, else ErrInvalid when one does not exist.
	Checkout(ctx context.Context, items []Item) (Order, error)
}
