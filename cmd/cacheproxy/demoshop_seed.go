package main

import (
	"fmt"
	"strings"
	"time"
)

var demoSentences = [...]string{
	"Made from recycled aluminium and finished by hand, it takes daily use without complaint.",
	"The battery lasts through a long weekend and charges in under an hour from any port.",
	"Every seam is sealed, every screw can be reached, and spare parts are kept for ten years.",
	"It folds flat, weighs less than it looks, and comes with a pouch that you will actually use.",
	"Independent laboratories tested it in heat, frost and salt water before it was released.",
	"Setting it up takes two minutes: open the box, press the one button, and you are done.",
	"Colours are dyed through, so that scratches do not show and sunlight does not fade them.",
}

var demoCountries = [...]string{"DE", "FR", "IT", "PL", "SE"}

// seedDemoProduct returns the product that the sample shop on PostgreSQL has
// under this id before any edit.
func seedDemoProduct(id int64) *demoProduct {
	p := &demoProduct{
		ID: id, SKU: demoSKU(id), Slug: fmt.Sprintf("product-%d", id), Title: fmt.Sprintf("Product %d", id),
		Summary:     fmt.Sprintf("A dependable companion, number %d of its line.", id),
		WeightGrams: 50 + id*37%5000, Version: 1, UpdatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	var text []string
	for n := int64(1); n <= 10; n++ {
		text = append(text, demoSentences[(id+n)%int64(len(demoSentences))])
	}
	p.Description = strings.Join(text, " ")
	setDemoCategory(p, 21+id%400)
	p.Brand.ID = 1 + id%500
	p.Brand.Name = fmt.Sprintf("Brand %d", p.Brand.ID)
	p.Brand.Country = demoCountries[p.Brand.ID%5]
	p.Supplier.ID = 1 + id%200
	p.Supplier.Name = fmt.Sprintf("Supplier %d", p.Supplier.ID)
	p.Supplier.LeadTimeDays = 1 + p.Supplier.ID%21
	p.Price.Currency, p.Price.AmountCents, p.Price.ListCents = "EUR", demoCents(id), demoCents(id)*12/10
	p.Price.Tax.Name, p.Price.Tax.RatePermille = "standard", 190
	if id%10 == 0 {
		p.Price.Tax.Name, p.Price.Tax.RatePermille = "reduced", 70
	}
	for n := 1; n <= 3; n++ {
		p.Media = append(p.Media, demoMedium{
			URL: fmt.Sprintf("https://img.shop.example/%d/%d.webp", id, n),
			Alt: fmt.Sprintf("Product %d, view %d", id, n),
		})
	}
	seedDemoReviews(p)
	return p
}

func seedDemoReviews(p *demoProduct) {
	p.Reviews.Stars = []int64{p.ID % 3, p.ID % 5, p.ID % 11, p.ID % 37, p.ID % 101}
	var sum int64
	for i, n := range p.Reviews.Stars {
		p.Reviews.Count += n
		sum += n * int64(i+1)
	}
	if p.Reviews.Count > 0 {
		p.Reviews.Average = float64(sum*10/p.Reviews.Count) / 10
	}
}

func setDemoCategory(p *demoProduct, id int64) {
	p.Category.ID, p.Category.Name = id, fmt.Sprintf("Category %d", id)
	p.Category.Parent.ID = 1 + id%20
	p.Category.Parent.Name = fmt.Sprintf("Department %d", p.Category.Parent.ID)
}

func demoSKU(id int64) string { return fmt.Sprintf("P%07d", id) }

func demoCents(id int64) int64 { return 199 + id*7919%20000 }
