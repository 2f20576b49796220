package api

import (
	"net/http"
	"net/url"
	"strconv"
)

// question is the question of a read: the top, the places around a player, or one player.
type question struct {
	top    int // zero: the top is not asked for
	around string
	n      int // places before and after
	player string
}

// maxAround bounds the places before and after a player in a read. usualAround is their number if the read does not
// say.
const maxAround, usualAround = 50, 5

// ask parses a query: ?top=N, ?around=PLAYER&n=N or ?player=PLAYER. An empty query asks for the top. Other parameters
// are ignored, such as those by which clients bypass caches.
func (r *Route) ask(query string) (q question, refused *Refusal) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return q, refusef(http.StatusBadRequest, "the query cannot be understood: %v", err)
	}
	kinds := 0
	for _, name := range [...]string{"top", "around", "player", "n"} {
		if len(values[name]) > 1 {
			return q, refusef(http.StatusBadRequest, "%s is in the query twice", name)
		}
		if values.Has(name) && name != "n" {
			kinds++
		}
	}
	if kinds > 1 {
		return q, refusef(http.StatusBadRequest, "top, around and player ask for different things; send one of them")
	}
	count := func(name string, otherwise, most int) int {
		n := otherwise
		if values.Has(name) {
			if n, err = strconv.Atoi(values.Get(name)); err != nil || n < 1 || n > most {
				refused = refusef(http.StatusBadRequest, "%s is not a number from 1 to %d", name, most)
			}
		}
		return n
	}
	switch {
	case values.Has("around"):
		q.around, q.n = values.Get("around"), count("n", usualAround, maxAround)
		if wrong := checkName("around", q.around); wrong != nil {
			refused = wrong
		}
	case values.Has("player"):
		q.player = values.Get("player")
		refused = checkName("player", q.player)
	default:
		q.top = count("top", r.usual(), r.Most())
	}
	if values.Has("n") && q.around == "" {
		refused = refusef(http.StatusBadRequest, "n says how many places around a player are asked for; send around too, or top")
	}
	return q, refused
}
