// Package products holds the bodies that the sample shop (cmd/cacheproxy/demo) answers with, for benchmarks that need no shop.
package products

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
)

// sentences are the sample shop's.
var sentences = [...]string{
	"Made from recycled aluminium and finished by hand, it takes daily use without complaint.",
	"The battery lasts through a long weekend and charges in under an hour from any port.",
	"Every seam is sealed, every screw can be reached, and spare parts are kept for ten years.",
	"It folds flat, weighs less than it looks, and comes with a pouch that you will actually use.",
	"Independent laboratories tested it in heat, frost and salt water before it was released.",
	"Setting it up takes two minutes: open the box, press the one button, and you are done.",
	"Colours are dyed through, so that scratches do not show and sunlight does not fade them.",
}

// Sample is what the sample shop answers for a product, by the formulas of its seed. The sample's description says the
// same sentences again after the seventh; told is how many of them it has.
func Sample(id int64, told int) []byte {
	p := demo.Product{
		ID: id, SKU: fmt.Sprintf("P%07d", id), Slug: fmt.Sprintf("product-%d", id), Title: fmt.Sprintf("Product %d", id),
		Summary: fmt.Sprintf("A dependable companion, number %d of its line.", id), Availability: "in_stock",
		WeightGrams: 50 + id*37%5000, Version: 1, UpdatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Brand:    demo.Brand{ID: 1 + id%500, Name: fmt.Sprintf("Brand %d", 1+id%500), Country: "DE"},
		Supplier: demo.Supplier{ID: 1 + id%200, Name: fmt.Sprintf("Supplier %d", 1+id%200), LeadTimeDays: 1 + id%21},
		Price:    demo.Price{Currency: "EUR", AmountCents: 199 + id*7919%20000, ListCents: (199 + id*7919%20000) * 12 / 10},
		Reviews:  demo.Reviews{Count: id % 100, Average: 4.1, Stars: []int64{id % 3, id % 5, id % 11, id % 37, id % 101}},
	}
	var text []string
	for n := range told {
		text = append(text, sentences[(int(id)+n)%len(sentences)])
	}
	p.Description = strings.Join(text, " ")
	p.Category.ID, p.Category.Name = 21+id%400, fmt.Sprintf("Category %d", 21+id%400)
	p.Category.Parent.ID, p.Category.Parent.Name = 1+id%20, fmt.Sprintf("Department %d", 1+id%20)
	p.Price.Tax.Name, p.Price.Tax.RatePermille = "standard", 190
	for n := 1; n <= 3; n++ {
		p.Media = append(p.Media, demo.Medium{
			URL: fmt.Sprintf("https://img.example/%d/%d.webp", id, n), Alt: fmt.Sprintf("Product %d, view %d", id, n),
		})
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return b
}
