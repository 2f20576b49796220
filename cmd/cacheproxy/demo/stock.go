package demo

import (
	"fmt"
	"net/http"
	"net/url"
)

// maxQuantity bounds one change of stock, so that no sum overflows.
const maxQuantity = 1_000_000_000

// Stock is the answer of GET /inventory/{sku}.
type Stock struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"` // on hand and not reserved
}

func (s *shop) getStock(w http.ResponseWriter, r *http.Request) error {
	stock, err := s.store.Stock(r.Context(), r.PathValue("sku"))
	if err != nil {
		return err
	}
	w.Header().Set("Surrogate-Key", "stock:"+url.PathEscape(stock.SKU))
	return serveJSON(w, r, stock)
}

func (s *shop) putStock(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		OnHand *int64 `json:"on_hand"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.OnHand == nil || *body.OnHand < 0 || *body.OnHand > maxQuantity {
		return fmt.Errorf("%w: on_hand must be a number from 0 to %d", ErrInvalid, maxQuantity)
	}
	stock, err := s.store.SetStock(r.Context(), r.PathValue("sku"), *body.OnHand)
	return answerStock(w, stock, err)
}

func (s *shop) adjustStock(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Delta int64 `json:"delta"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Delta == 0 || body.Delta < -maxQuantity || body.Delta > maxQuantity {
		return fmt.Errorf("%w: delta must be a number other than 0, at most %d either way", ErrInvalid, maxQuantity)
	}
	stock, err := s.store.ChangeStock(r.Context(), r.PathValue("sku"), body.Delta, 0)
	return answerStock(w, stock, err)
}

func (s *shop) reserveStock(w http.ResponseWriter, r *http.Request) error {
	return s.changeReserved(w, r, 1)
}

func (s *shop) releaseStock(w http.ResponseWriter, r *http.Request) error {
	return s.changeReserved(w, r, -1)
}

func (s *shop) changeReserved(w http.ResponseWriter, r *http.Request, sign int64) error {
	var body struct {
		Quantity int64 `json:"quantity"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Quantity < 1 || body.Quantity > maxQuantity {
		return fmt.Errorf("%w: quantity must be a number from 1 to %d", ErrInvalid, maxQuantity)
	}
	stock, err := s.store.ChangeStock(r.Context(), r.PathValue("sku"), 0, sign*body.Quantity)
	return answerStock(w, stock, err)
}

func answerStock(w http.ResponseWriter, stock Stock, err error) error {
	if err != nil {
		return err
	}
	return writeChanged(w, "/inventory/"+url.PathEscape(stock.SKU), stock)
}
