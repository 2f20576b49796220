package demo

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// maxScores bounds the players that a shop keeps in memory.
const maxScores = 10_000

// games are the players' best scores, stored as many an API begins: all in memory, sorted at each read. The zero value
// is ready.
type games struct {
	mu   sync.Mutex
	best map[string]map[string]float64 // by game and player
	kept int
}

// Score is the body of POST /games/{game}/scores.
type Score struct {
	Player string   `json:"player"`
	Score  *float64 `json:"score"`
}

func (s *shop) postScore(w http.ResponseWriter, r *http.Request) error {
	var body Score
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Player == "" || body.Score == nil {
		return fmt.Errorf("%w: player and score are required", ErrInvalid)
	}
	g, game := &s.games, r.PathValue("game")
	g.mu.Lock()
	defer g.mu.Unlock()
	if before, known := g.best[game][body.Player]; !known || *body.Score > before {
		if !known && g.kept >= maxScores {
			return fmt.Errorf("%w: too many players", ErrConflict)
		}
		if g.best == nil {
			g.best = map[string]map[string]float64{}
		}
		if g.best[game] == nil {
			g.best[game] = map[string]float64{}
		}
		if !known {
			g.kept++
		}
		g.best[game][body.Player] = *body.Score
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{"player": body.Player, "score": g.best[game][body.Player]})
	return nil
}

// place is one place of a board.
type place struct {
	Rank   int     `json:"rank"`
	Player string  `json:"player"`
	Score  float64 `json:"score"`
}

func (s *shop) getLeaderboard(w http.ResponseWriter, r *http.Request) error {
	g := &s.games
	g.mu.Lock()
	places := []place{}
	for player, score := range g.best[r.PathValue("game")] {
		places = append(places, place{Player: player, Score: score})
	}
	g.mu.Unlock()
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Player, b.Player)) })
	for i := range places {
		places[i].Rank = i + 1
	}
	w.Header().Set("Cache-Control", "no-cache")
	return serveJSON(w, r, map[string]any{"players": len(places), "entries": places[:min(100, len(places))]})
}

//go:embed game.html
var gamePage []byte

// getGame serves a page that shows a board as it changes.
func (s *shop) getGame(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "max-age=60")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
	_, _ = w.Write(gamePage) // the client may have gone
	return nil
}
