package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Writes are the actions on writes that were accepted and are not done. Every func must be set and safe for concurrent
// use.
type Writes struct {
	// List has dead letters, or else waiting writes, oldest first, of one route; an empty route: of all routes.
	List func(ctx context.Context, dead bool, route string, most int) ([]QueuedWrite, error)
	// Retry tries a dead letter again. forced allows a retry after later writes of the same key, which the retry then
	// undoes. Drop ends a dead letter; forced also allows a waiting write.
	Retry func(ctx context.Context, id string, forced bool) error
	Drop  func(ctx context.Context, id string, forced bool) error
	// Refused reports whether the state of the write caused an error of Retry or Drop. Other errors come from the
	// server.
	Refused func(error) bool
}

// QueuedWrite is a write that was accepted and is not done.
type QueuedWrite struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Route     string    `json:"route"`
	Upstream  string    `json:"upstream,omitempty"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	Accepted  time.Time `json:"accepted"`
	Attempts  int       `json:"attempts"`
	Next      time.Time `json:"next_try,omitzero"` // zero: no next try is planned
	Status    int       `json:"origin_status,omitempty"`
	Problem   string    `json:"problem,omitempty"`
	Blocks    bool      `json:"blocks,omitempty"`    // later writes of the same key wait for the decision
	Overtaken bool      `json:"overtaken,omitempty"` // later writes of the same key are done
	Sequence  uint64    `json:"sequence"`
}

// maxListed bounds the writes in a list, and listed is the default.
const maxListed, listed = 10000, 100

// writes serves GET /writes?state=dead|waiting&route=&limit=.
func (h *handler) writes(w http.ResponseWriter, r *request) error {
	if h.Writes == nil { // without a queue nothing waits
		return writeJSON(w, http.StatusOK, map[string][]QueuedWrite{"writes": {}})
	}
	query, err := url.ParseQuery(r.target.Query)
	if err != nil {
		return badRequest(err)
	}
	state, most := query.Get("state"), listed
	if state != "" && state != "dead" && state != "waiting" {
		return problemf(http.StatusBadRequest, "state is %q: use dead or waiting", shorten(state))
	}
	if text := query.Get("limit"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > maxListed {
			return problemf(http.StatusBadRequest, "limit is %q: a number from 1 to %d", shorten(text), maxListed)
		}
	}
	for name := range query {
		if name != "state" && name != "route" && name != "limit" {
			return problemf(http.StatusBadRequest, "unknown query parameter %q: use state, route and limit", shorten(name))
		}
	}
	all, err := h.Writes.List(r.Context(), state != "waiting", query.Get("route"), most)
	if err != nil {
		return problemf(http.StatusServiceUnavailable, "the queue of writes cannot be asked: %v", err)
	}
	return writeJSON(w, http.StatusOK, map[string][]QueuedWrite{"writes": all})
}

// decideWrite serves POST /writes/{id}/retry[?force=true] and DELETE /writes/{id}[?force=true].
func (h *handler) decideWrite(w http.ResponseWriter, r *request) error {
	if h.Writes == nil {
		return problemf(http.StatusNotFound, "there is no queue of writes: it needs valkey")
	}
	id, retries := strings.CutSuffix(r.name, "/retry")
	if retries != (r.Method == http.MethodPost) {
		return problemf(http.StatusMethodNotAllowed, "POST /writes/ID/retry tries a dead letter again, and DELETE /writes/ID drops it")
	}
	query, err := url.ParseQuery(r.target.Query)
	forced := query.Get("force") == "true"
	if err != nil || len(query) > 1 || len(query) == 1 && !forced {
		return problemf(http.StatusBadRequest, "the query is not understood: it may say force=true, and nothing else")
	}
	what := "drop write"
	if retries {
		what = "retry write"
		err = h.Writes.Retry(r.Context(), id, forced)
	} else {
		err = h.Writes.Drop(r.Context(), id, forced)
	}
	r.entry.tell(what, slog.String("write", id), slog.Bool("forced", forced), slog.Bool("done", err == nil))
	switch {
	case err == nil:
		return writeJSON(w, http.StatusOK, map[string]string{"id": id, "done": what})
	case h.Writes.Refused(err):
		return problemf(http.StatusConflict, "nothing was done: %v", err)
	}
	return problemf(http.StatusServiceUnavailable, "the queue of writes cannot be asked: %v", err)
}
