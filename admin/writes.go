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

// Writes is what an operator can do with writes that were accepted and are not done. Every func must be set and safe for concurrent use.
type Writes struct {
	// List is dead letters, or else what waits, oldest first, of one route or, of an empty one, of all.
	List func(ctx context.Context, dead bool, route string, most int) ([]QueuedWrite, error)
	// Retry has a dead letter tried again; forced also where later writes to the same were made, which it then undoes. Drop ends one;
	// forced, also a write that waits.
	Retry func(ctx context.Context, id string, forced bool) error
	Drop  func(ctx context.Context, id string, forced bool) error
	// Refused reports whether an error of Retry and Drop is for what the write is; others are the server's.
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
	Next      time.Time `json:"next_try,omitzero"` // where it waits for that
	Status    int       `json:"origin_status,omitempty"`
	Problem   string    `json:"problem,omitempty"`
	Blocks    bool      `json:"blocks,omitempty"`    // later writes to the same wait for the decision
	Overtaken bool      `json:"overtaken,omitempty"` // later writes to the same are done
	Sequence  uint64    `json:"sequence"`
}

// maxListed is how many writes a list has at most, and listed how many where nothing is said.
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
