package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Reloaded says what reading the configuration again has changed, by the paths of keys.
type Reloaded struct {
	Changed    []string  `json:"changed"`    // in force now, and by this reading
	Recent     []string  `json:"recent"`     // in force since some seconds ago, since a file had changed or at a signal, and not told of before
	Restart    []string  `json:"restart"`    // changed since the process started, and wait for it to start again
	Warnings   []string  `json:"warnings"`   // of the configuration in force
	Generation int       `json:"generation"` // of the configuration in force, from 1
	Since      time.Time `json:"since"`      // when it came into force: where nothing changed, an edit may have been read before
}

// InvalidConfigError is a configuration that was refused. The one before stays in force.
type InvalidConfigError struct {
	Problems []string // file:line: path: what to write instead
}

// Error is one problem per line.
func (e *InvalidConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// reload serves POST /reload. It answers when requests that arrive from then on go by what was read.
func (h *handler) reload(w http.ResponseWriter, r *request) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.ConfirmTimeout())
	defer cancel()
	done, err := h.Reload(ctx)
	switch invalid, is := errors.AsType[*InvalidConfigError](err); {
	case is:
		r.entry.tell("reload", slog.Any("problems", invalid.Problems))
		return writeJSON(w, http.StatusUnprocessableEntity, map[string]any{
			"error": "the configuration is not valid; the one before stays in force", "problems": invalid.Problems,
		})
	case err != nil:
		p := problemf(http.StatusServiceUnavailable, "reload: %v", err)
		p.header.Set("Retry-After", "1")
		return p
	}
	r.entry.tell("reload", slog.Any("changed", done.Changed))
	return writeJSON(w, http.StatusOK, done)
}
