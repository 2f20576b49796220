package instance

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"cacheproxy/admin"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

const boardRoute = `
upstreams: [{name: api, url: "URL", host: upstream}]
routes:
  - name: scores
    match: ["POST /games/{game}/scores", "GET /games/{game}/leaderboard"]
    policy: leaderboard
    leaderboard: {board: "{game}", window: all-time, authorize: none, DURABILITY}
`

func withBoard(more string) string { return strings.ReplaceAll(boardRoute, "DURABILITY", more) }

// Boards are kept where the process began with records, and a reload that adds the first route of them elsewhere is refused whole.
func TestBoardsNeedRecordsFromTheStart(t *testing.T) {
	r := newReloading(t)
	r.write("records: {url: memory}\n" + strings.ReplaceAll(withBoard("ranks: 10"), "URL", r.url))
	if _, err := r.reload(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "needs a restart") {
		t.Errorf("the first board without records: %v", err)
	}
	if w := r.ask("GET", "/games/chess/leaderboard", ""); strings.Contains(w.Body.String(), "entries") {
		t.Error("a configuration that was refused is in force")
	}
}

// A server that cannot keep what a route promises is found out before the route is in force, and a share of the requests is no mode for it.
func TestBoardsFit(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{})
	r := newReloadingWith(t, "records: {url: \"valkey://"+v.Address()+"\"}\n", slog.New(slog.DiscardHandler))
	records := "records: {url: \"valkey://" + v.Address() + "\"}\n"
	r.write(records + strings.ReplaceAll(withBoard("durability: fsync"), "URL", r.url))
	if _, err := r.reload(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "appendonly") {
		t.Errorf("fsync without appendonly: %v", err)
	}
	r.write(records + strings.ReplaceAll(withBoard("durability: none"), "URL", r.url))
	if _, err := r.reload(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if err := r.refuseMode(admin.ModeOrder{Route: "scores", Mode: policy.On, Share: 0.1}); err == nil {
		t.Error("a share of the submissions may be missing")
	}
	var w *httptest.ResponseRecorder
	if w = r.ask("GET", "/games/chess/leaderboard", ""); w.Code != 200 && w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
