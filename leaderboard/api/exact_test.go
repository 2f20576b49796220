package api

import (
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/leaderboard"
)

// What is accepted is what is kept: a number that is told from its neighbours by its text is not taken for one of them (RFC 8259 §6).
func TestScoresAsTheyAreWritten(t *testing.T) {
	const yes, no = 200, http.StatusUnprocessableEntity
	for _, c := range []struct {
		text      string
		best, sum int
	}{
		{"9007199254740992", yes, yes}, {"-9007199254740992", yes, yes}, {"9007199254740993", no, no}, {"-9007199254740993", no, no},
		{"9007199254740992.5", no, no}, {"9007199254740992.0000001", no, no}, {"9007199254740991.9999999999", yes, no}, {"1e400", no, no},
		{"1e-400", no, no}, {"-1e-400", no, no}, {"1e-99999999999999999999", no, no}, {"0e99999", yes, yes}, {"-0.0", yes, yes}, {"0.1e1", yes, yes},
		{"1.0", yes, yes}, {"10e-1", yes, yes}, {"1.5", yes, no}, {"1.0000000000000000000001", yes, no}, {"0." + strings.Repeat("0", 400) + "1", no, no},
		{"1" + strings.Repeat("0", 2000), no, no}, {"0." + strings.Repeat("3", 2000), no, no},
	} {
		for aggregate, want := range map[leaderboard.Aggregate]int{leaderboard.Best: c.best, leaderboard.Sum: c.sum} {
			if got := taken(route(t, aggregate), c.text); got != want {
				t.Errorf("%.40s, aggregate %v: %d, want %d", c.text, aggregate, got, want)
			}
		}
	}
	r := route(t, leaderboard.Best)
	r.MinScore, r.MaxScore = 0.1, 1000
	for text, want := range map[string]int{
		"1000": yes, "1e3": yes, "1000.00000000000000001": no, "999.99999999999999999": yes, "0.1": yes, "0.10": yes, "0.09999999999999999999": no,
	} {
		if got := taken(r, text); got != want {
			t.Errorf("%s within bounds: %d, want %d", text, got, want)
		}
	}
}

// taken is the status of a submission, and of a line of an import, which has to be the same.
func taken(r *Route, text string) int {
	_, _, refused := r.parse([]byte(`{"player": "ada", "score": ` + text + `}`))
	_, err := r.Check("ada", text)
	var imported *Refusal
	switch {
	case errors.As(err, &imported) != (refused != nil):
		return 0
	case refused != nil:
		return refused.Code
	}
	return http.StatusOK
}

// The text of a bound is that of the configuration.
func TestExactOf(t *testing.T) {
	if tenth := big.NewRat(1, 10); exactOf(0.1).Cmp(tenth) != 0 || exactOf(-leaderboard.Exact).Sign() >= 0 {
		t.Errorf("%v", exactOf(0.1))
	}
}
