package demo

import (
	"fmt"
	"strings"
	"time"
)

// Categories of products have numbers in this range.
const firstCategory, lastCategory = 21, 420

var sentences = [...]string{
	"Made from recycled aluminium and finished by hand, it takes daily use without complaint.",
	"The battery lasts through a long weekend and charges in under an hour from any port.",
	"Every seam is sealed, every screw can be reached, and spare parts are kept for ten years.",
	"It folds flat, weighs less than it looks, and comes with a pouch that you will actually use.",
	"Independent laboratories tested it in heat, frost and salt water before it was released.",
	"Setting it up takes two minutes: open the box, press the one button, and you are done.",
	"Colours are dyed through, so that scratches do not show and sunlight does not fade them.",
}

var countries = [...]string{"DE", "FR", "IT", "PL", "SE"}

// seed returns the unedited product of an id, without its availability.
func seed(id int64) Product {
	brand, supplier := 1+id%500, 1+id%200
	p := Product{
		ID: id, SKU: sku(id), Slug: fmt.Sprintf("product-%d", id), Title: fmt.Sprintf("Product %d", id),
		Summary:  fmt.Sprintf("A dependable companion, number %d of its line.", id),
		Category: category(firstCategory + id%400),
		Brand:    Brand{ID: brand, Name: fmt.Sprintf("Brand %d", brand), Country: countries[brand%5]},
		Supplier: Supplier{ID: supplier, Name: fmt.Sprintf("Supplier %d", supplier), LeadTimeDays: 1 + supplier%21},
		Price:    Price{Currency: "EUR", AmountCents: cents(id), ListCents: cents(id) * 12 / 10},
		Reviews:  SumUp([]int64{id % 3, id % 5, id % 11, id % 37, id % 101}),

		WeightGrams: 50 + id*37%5000, Version: 1, UpdatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	var text []string
	for n := int64(1); n <= 10; n++ {
		text = append(text, sentences[(id+n)%int64(len(sentences))])
	}
	p.Description = strings.Join(text, " ")
	p.Price.Tax.Name, p.Price.Tax.RatePermille = "standard", 190
	if id%10 == 0 {
		p.Price.Tax.Name, p.Price.Tax.RatePermille = "reduced", 70
	}
	for n := 1; n <= 3; n++ {
		p.Media = append(p.Media, Medium{
			URL: fmt.Sprintf("https://img.shop.example/%d/%d.webp", id, n),
			Alt: fmt.Sprintf("Product %d, view %d", id, n),
		})
	}
	return p
}

func category(id int64) Category {
	c := Category{ID: id, Name: fmt.Sprintf("Category %d", id)}
	c.Parent.ID = 1 + id%20
	c.Parent.Name = fmt.Sprintf("Department %d", c.Parent.ID)
	return c
}

func sku(id int64) string { return fmt.Sprintf("P%07d", id) }

func cents(id int64) int64 { return 199 + id*7919%20000 }
