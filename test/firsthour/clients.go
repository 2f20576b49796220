package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
)

const requests = 600

// question is a request, as often as somebody asks it.
type question struct {
	method, target string
	header         http.Header
	body           string
}

// questions are those of apps, of web pages, of partners with a key and of an editor.
func questions() (all []question) {
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	for i := range requests {
		q := question{method: http.MethodGet, header: http.Header{"User-Agent": {one("Mozilla/5.0", "shop-app/3")}}}
		id := 1 + random.IntN(12)
		switch kind := random.IntN(20); {
		case kind < 9:
			q.target = fmt.Sprintf("/products/%d", id)
			q.header.Set("Sec-CH-UA-Mobile", one("?0", "?0", "?1"))
			if random.IntN(4) == 0 {
				q.target += "?utm_source=" + one("mail", "ad")
			}
			if random.IntN(3) == 0 {
				q.header.Set("X-App-Version", one("3.1", "3.2"))
			}
			if random.IntN(6) == 0 {
				q.header.Set("Cookie", "_ga=1")
			}
		case kind < 13:
			q.target = fmt.Sprintf("/products?page=%d&sort=%s", 1+random.IntN(3), one("id", "-id"))
		case kind < 16:
			q.target = fmt.Sprintf("/prices/%d", id)
			q.header.Set("X-Api-Key", one("gold", "silver", "silver", "wrong"))
		case kind < 17:
			q.target = "/basket"
			q.header.Set("Cookie", one("session=a", "session=ab", "session="))
		case kind < 18:
			q.target = "/me"
			q.header.Set("Authorization", "Bearer "+one("ann", "bob"))
		case kind < 19:
			q = question{method: http.MethodOptions, target: fmt.Sprintf("/products/%d", id), header: http.Header{
				"Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {"content-type"},
			}}
		default:
			q.target = "/nothing/here"
		}
		if random.IntN(4) == 0 {
			q.header.Set("Origin", one("https://shop.example", "https://partner.example"))
		}
		if random.IntN(10) == 0 && q.method == http.MethodGet {
			q.header.Set("Range", one("bytes=0-9", "bytes=-5"))
		}
		all = append(all, q)
		if i%100 == 99 {
			all = append(all, rename(id, i), question{method: http.MethodGet, target: fmt.Sprintf("/products/%d", id), header: http.Header{}})
		}
	}
	return all
}

func rename(id, i int) question {
	return question{
		method: http.MethodPut, target: fmt.Sprintf("/products/%d", id), body: fmt.Sprintf(`{"name":"Thing %d, edition %d"}`, id, i),
		header: http.Header{"Content-Type": {"application/json"}},
	}
}
