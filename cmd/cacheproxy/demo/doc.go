// Package demo is an ordinary shop API to put the proxy in front of: a catalogue, an inventory that is written often, a
// checkout that must never oversell, and games with scores. The shop knows nothing of the proxy; like many APIs the
// shop sends ETag, Cache-Control and Surrogate-Key. Memory is the store of the command demo; tests and benchmarks use
// PostgreSQL as the store.
//
//	GET    /products/{id}              one product, about 2 KiB of JSON
//	PUT    /products/{id}              replace its editable fields
//	PATCH  /products/{id}              change some of them
//	DELETE /products/{id}
//	GET    /products?page=&sort=       sort: id, newest, price, -price
//	GET    /inventory/{sku}
//	PUT    /inventory/{sku}            {"on_hand": 12}
//	POST   /inventory/{sku}/adjust     {"delta": -3}
//	POST   /inventory/{sku}/reserve    {"quantity": 3}
//	POST   /inventory/{sku}/release    {"quantity": 3}
//	POST   /checkout                   {"items": [{"sku": "P0000017", "quantity": 1}]}
//	POST   /games/{game}/scores        {"player": "ada", "score": 7}
//	GET    /games/{game}/leaderboard
//	GET    /games/{game}               a page of it, for people
//	GET    /healthz
//
// Errors are {"error": "..."} with 400 (malformed), 404 (no such thing), 405, 409 (not enough stock), 413 (body too large)
// or 503 (the database did not answer in time).
//
//	shop.go      New, the path of a request, JSON
//	store.go     what a shop keeps its goods in
//	product.go, list.go, stock.go, checkout.go  the resources
//	scores.go, game.html        games
//	memory.go    a store in memory; memorystock.go is its inventory
//	seed.go      what every shop begins with
package demo
