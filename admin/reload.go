package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Reloaded reports the effect of a reload, by the paths of keys.
type Reloaded struct {
	Changed []string `json:"changed"` // put in force by this reload
	// Recent came into force some seconds ago, by a reload after a change of a file or a signal, and was not reported
	// before.
	Recent     []string `json:"recent"`
	Restart    []string `json:"restart"`    // changed since the process started, and waiting for a restart
	Warnings   []string `json:"warnings"`   // of the configuration in force
	Generation int      `json:"generation"` // of the configuration in force, from 1
	// Since is when that configuration came into force. Where nothing changed, an earlier reload may have read an edit.
	Since time.Time `json:"since"`
}

// InvalidConfigError is a configuration that was refused. The configuration before stays in force.
type InvalidConfigError struct {
	Problems []string // file:line: path: what to write instead
}

// Error has one problem on each line.
func (e *InvalidConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// reload serves POST /reload. Requests that arrive after the answer see the new configuration.
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
