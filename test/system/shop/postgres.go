package shop

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cacheproxy/cmd/cacheproxy/demo"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SQLSTATE codes that tell a client's mistake from a failure of the database.
const (
	foreignKeyViolation = "23503"
	checkViolation      = "23514"
	badEncoding         = "22021"
)

var (
	//go:embed schema.sql
	schemaSQL string

	//go:embed seed.sql
	seedSQL string

	//go:embed product.sql
	productSQL string
)

// Database is the shop's store on PostgreSQL. Its methods may be called concurrently.
type Database struct {
	pool *pgxpool.Pool
}

// Open connects to the database. The number of connections is the URL's
// pool_max_conns, else pgxpool's default: four, or the number of CPUs.
func Open(ctx context.Context, url string) (*Database, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("open shop database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to shop database: %w", err)
	}
	return &Database{pool: pool}, nil
}

// Close waits for the requests in flight and closes every connection.
func (d *Database) Close() { d.pool.Close() }

// Ping asks whether the database answers.
func (d *Database) Ping(ctx context.Context) error {
	if err := d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping shop database: %w", err)
	}
	return nil
}

// Create makes the tables, which must not exist yet, and fills them with
// products numbered from 1.
func (d *Database) Create(ctx context.Context, products int) error {
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('shop.products', $1, true)", strconv.Itoa(products)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, schemaSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, seedSQL, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err == nil {
		// Else the first readers pay for it, and skew what is measured.
		_, err = d.pool.Exec(ctx, "VACUUM ANALYZE")
	}
	if err != nil {
		return fmt.Errorf("create shop database: %w", err)
	}
	return nil
}

// Created tells whether the tables are there. Create makes all of them in one transaction.
func (d *Database) Created(ctx context.Context) (bool, error) {
	var created bool
	if err := d.pool.QueryRow(ctx, "SELECT to_regclass('product') IS NOT NULL").Scan(&created); err != nil {
		return false, fmt.Errorf("look for shop tables: %w", err)
	}
	return created, nil
}

// Product reads one product. The error is demo.ErrNotFound when there is none.
func (d *Database) Product(ctx context.Context, id int64) (demo.Product, error) {
	return readProduct(ctx, d.pool, id)
}

// rowQuerier is a pool or a transaction.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readProduct(ctx context.Context, q rowQuerier, id int64) (demo.Product, error) {
	var (
		p         demo.Product
		available int64
		stars     []int64
	)
	c, e := &p.Category, &p.Price
	err := q.QueryRow(ctx, productSQL, id).Scan(
		&p.ID, &p.SKU, &p.Slug, &p.WeightGrams, &p.Version, &p.UpdatedAt,
		&p.Title, &p.Summary, &p.Description,
		&c.ID, &c.Name, &c.Parent.ID, &c.Parent.Name,
		&p.Brand.ID, &p.Brand.Name, &p.Brand.Country,
		&p.Supplier.ID, &p.Supplier.Name, &p.Supplier.LeadTimeDays,
		&e.Currency, &e.AmountCents, &e.ListCents, &e.Tax.Name, &e.Tax.RatePermille,
		&available, &p.Media, &stars)
	if errors.Is(err, pgx.ErrNoRows) {
		return demo.Product{}, fmt.Errorf("product %d: %w", id, demo.ErrNotFound)
	}
	if err != nil {
		return demo.Product{}, fmt.Errorf("read product %d: %w", id, err)
	}
	p.Availability, p.Reviews, p.UpdatedAt = demo.Availability(available), demo.SumUp(stars), p.UpdatedAt.UTC()
	return p, nil
}

// EditProduct changes a product and returns it as it is then.
func (d *Database) EditProduct(ctx context.Context, id int64, e demo.Edit) (demo.Product, error) {
	var p demo.Product
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE product SET category_id = coalesce($2, category_id),
			version = version + 1, updated_at = now() WHERE id = $1`, id, e.CategoryID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return demo.ErrNotFound
		}
		if _, err := tx.Exec(ctx, `UPDATE product_text SET title = coalesce($2, title),
			summary = coalesce($3, summary), description = coalesce($4, description)
			WHERE product_id = $1 AND locale = 'en'`, id, e.Title, e.Summary, e.Description); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE price SET amount_cents = coalesce($2, amount_cents)
			WHERE product_id = $1 AND currency = 'EUR'`, id, e.AmountCents); err != nil {
			return err
		}
		p, err = readProduct(ctx, tx, id)
		return err
	})
	switch {
	case violates(err, foreignKeyViolation):
		return demo.Product{}, fmt.Errorf("%w: there is no such category", demo.ErrInvalid)
	case violates(err, badEncoding):
		return demo.Product{}, fmt.Errorf("%w: text must be UTF-8", demo.ErrInvalid)
	case err != nil:
		return demo.Product{}, fmt.Errorf("edit product %d: %w", id, err)
	}
	return p, nil
}

// DeleteProduct removes a product and all that belongs to it. The error is
// demo.ErrNotFound when there is none.
func (d *Database) DeleteProduct(ctx context.Context, id int64) error {
	tag, err := d.pool.Exec(ctx, "DELETE FROM product WHERE id = $1", id)
	if err != nil {
		return fmt.Errorf("delete product %d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("product %d: %w", id, demo.ErrNotFound)
	}
	return nil
}

// sortOrders are the orders of a listing in SQL.
var sortOrders = map[demo.Sort]string{
	demo.ByID:     "p.id",
	demo.Newest:   "p.id DESC",
	demo.Cheapest: "e.amount_cents, p.id",
	demo.Dearest:  "e.amount_cents DESC, p.id DESC",
}

// List reads part of the catalogue.
func (d *Database) List(ctx context.Context, sort demo.Sort, offset, limit int) ([]demo.ListItem, error) {
	rows, err := d.pool.Query(ctx, `SELECT p.id, p.sku, t.title, b.name, e.amount_cents
		FROM price e
		JOIN product p ON p.id = e.product_id
		JOIN product_text t ON t.product_id = p.id AND t.locale = 'en'
		JOIN brand b ON b.id = p.brand_id
		WHERE e.currency = 'EUR' ORDER BY `+sortOrders[sort]+` OFFSET $1 LIMIT $2`, offset, limit)
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[demo.ListItem])
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	return items, nil
}

// Stock reads the stock of one sku. The error is demo.ErrNotFound when there is none.
func (d *Database) Stock(ctx context.Context, sku string) (demo.Stock, error) {
	return d.stock(ctx, sku, "SELECT sku, on_hand, reserved FROM inventory WHERE sku = $1", sku)
}

// SetStock sets what is on hand. The error is demo.ErrConflict when that is less
// than what is reserved.
func (d *Database) SetStock(ctx context.Context, sku string, onHand int64) (demo.Stock, error) {
	return d.stock(ctx, sku, "UPDATE inventory SET on_hand = $2 WHERE sku = $1 RETURNING sku, on_hand, reserved", sku, onHand)
}

// ChangeStock adds to what is on hand and to what is reserved. The error is
// demo.ErrConflict when less would be on hand than reserved, or less than nothing
// reserved.
func (d *Database) ChangeStock(ctx context.Context, sku string, onHand, reserved int64) (demo.Stock, error) {
	return d.stock(ctx, sku, `UPDATE inventory SET on_hand = on_hand + $2, reserved = reserved + $3
		WHERE sku = $1 RETURNING sku, on_hand, reserved`, sku, onHand, reserved)
}

// stock runs a statement that returns the row of a sku; the constraints of the
// table decide whether a change is possible.
func (d *Database) stock(ctx context.Context, sku, sql string, args ...any) (demo.Stock, error) {
	if strings.ContainsRune(sku, 0) {
		return demo.Stock{}, fmt.Errorf("stock of %q: %w", sku, demo.ErrNotFound)
	}
	var s demo.Stock
	err := d.pool.QueryRow(ctx, sql, args...).Scan(&s.SKU, &s.OnHand, &s.Reserved)
	switch {
	case errors.Is(err, pgx.ErrNoRows), violates(err, badEncoding):
		return demo.Stock{}, fmt.Errorf("stock of %q: %w", sku, demo.ErrNotFound)
	case violates(err, checkViolation):
		return demo.Stock{}, fmt.Errorf("stock of %q: %w", sku, demo.ErrConflict)
	case err != nil:
		return demo.Stock{}, fmt.Errorf("stock of %q: %w", sku, err)
	}
	s.Available = s.OnHand - s.Reserved
	return s, nil
}

// Checkout takes the items, in order of sku, out of stock and records the
// order, or does neither. The error is demo.ErrConflict when one is short.
func (d *Database) Checkout(ctx context.Context, items []demo.Item) (demo.Order, error) {
	order := demo.Order{Items: items}
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		lines, err := lockItems(ctx, tx, items)
		if err != nil {
			return err
		}
		for _, line := range lines {
			order.TotalCents += line.unitCents * line.Quantity
		}
		if err := tx.QueryRow(ctx, "INSERT INTO customer_order (total_cents) VALUES ($1) RETURNING id",
			order.TotalCents).Scan(&order.ID); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for _, line := range lines {
			batch.Queue("UPDATE inventory SET on_hand = on_hand - $2 WHERE sku = $1", line.SKU, line.Quantity)
			batch.Queue("INSERT INTO order_line VALUES ($1, $2, $3, $4)", order.ID, line.SKU, line.Quantity, line.unitCents)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	switch {
	case violates(err, badEncoding):
		return demo.Order{}, fmt.Errorf("%w: a sku must be UTF-8", demo.ErrInvalid)
	case err != nil:
		return demo.Order{}, fmt.Errorf("check out: %w", err)
	}
	return order, nil
}

// orderLine is an item whose row of the inventory is locked.
type orderLine struct {
	demo.Item
	unitCents int64
}

// lockItems locks the rows of the items in order of sku until the transaction
// ends and checks that enough of each is available.
func lockItems(ctx context.Context, tx pgx.Tx, items []demo.Item) ([]orderLine, error) {
	skus := make([]string, len(items))
	for i, item := range items {
		skus[i] = item.SKU
	}
	rows, err := tx.Query(ctx, `SELECT i.on_hand - i.reserved, i.sku, e.amount_cents
		FROM inventory i
		JOIN product p ON p.sku = i.sku
		JOIN price e ON e.product_id = p.id AND e.currency = 'EUR'
		WHERE i.sku = ANY ($1) ORDER BY i.sku FOR UPDATE OF i`, skus)
	if err != nil {
		return nil, err
	}
	lines := make([]orderLine, 0, len(items))
	var available, unit int64
	var sku string
	_, err = pgx.ForEachRow(rows, []any{&available, &sku, &unit}, func() error {
		at := slices.Index(skus, sku)
		if items[at].Quantity > available {
			return fmt.Errorf("%w: %d of %s are left", demo.ErrConflict, max(available, 0), sku)
		}
		lines = append(lines, orderLine{Item: items[at], unitCents: unit})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(lines) != len(items) {
		return nil, fmt.Errorf("%w: at least one sku does not exist", demo.ErrInvalid)
	}
	return lines, nil
}

// violates says whether PostgreSQL refused with this SQLSTATE.
func violates(err error, code string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == code
}
