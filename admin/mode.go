package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// ModeOrder switches the mode of one route.
type ModeOrder struct {
	Route string
	Reset bool // reset to the configured mode; Mode, Share and For then mean nothing
	Mode  policy.Mode
	Share float64       // of the requests that Mode applies to, above 0 to 1; others are treated as with off
	For   time.Duration // zero: until the next order for the route
	Who   string        // the token's name, or the peer's address where there are no tokens
}

// RouteMode is the mode in force of one route.
type RouteMode struct {
	Route      string        `json:"route"`
	Mode       string        `json:"mode"`
	Share      string        `json:"share"`                // of the requests that Mode applies to
	Configured *ModeSetting  `json:"configured,omitempty"` // the setting under an override; null: no override
	Override   *ModeOverride `json:"override,omitempty"`
}

// ModeSetting is a mode as the configuration has it.
type ModeSetting struct {
	Mode  string `json:"mode"`
	Share string `json:"share"`
}

// ModeOverride says who switched a route at run time, and for how long.
type ModeOverride struct {
	By    string     `json:"by"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"` // null: until the next order for the route
}

// PercentOf is a share, 0 to 1, as a percentage.
func PercentOf(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e6)/1e4, 'f', -1, 64) + "%"
}

// modes serves GET /routes.
func (h *handler) modes(w http.ResponseWriter, _ *request) error {
	all := h.Modes()
	if all == nil {
		all = []RouteMode{}
	}
	return writeJSON(w, http.StatusOK, map[string][]RouteMode{"routes": all})
}

// setMode serves POST and DELETE /routes/{name}/mode.
func (h *handler) setMode(w http.ResponseWriter, r *request) error {
	order, err := readModeCall(w, r)
	if err != nil {
		return err
	}
	if known := h.RouteNames(); !slices.Contains(known, r.name) {
		return problemf(http.StatusNotFound, "%v", unknownRoute(r.name, known))
	}
	order.Route, order.Who = r.name, r.caller.name
	if err := h.RefuseMode(order); err != nil {
		return badRequest(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.ConfirmTimeout())
	defer cancel()
	receipt, err := h.SetMode(ctx, order)
	attrs := append(order.attrs(), slog.Bool("recorded", receipt.Recorded), slog.Bool("held", err == nil && receipt.Held))
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	r.entry.tell("set mode", attrs...)
	if err != nil || !receipt.Held {
		w.Header().Set("Retry-After", "1")
		return writeJSON(w, http.StatusServiceUnavailable, unheldMode{h.modeAnswer(order), receipt.Recorded, false, unheldModeText(receipt, err)})
	}
	return writeJSON(w, http.StatusOK, h.modeAnswer(order))
}

// unheldMode answers an order that is in force on this instance, and perhaps not on all.
type unheldMode struct {
	modeAnswer
	Recorded bool   `json:"recorded"`
	Held     bool   `json:"held"` // always false
	Error    string `json:"error"`
}

func unheldModeText(r invalidation.Receipt, err error) string {
	text := "the mode is in force on this instance only; the others do not know of it: repeat it, or give it to each of them"
	if r.Recorded {
		text = "the mode is in force on this instance, and recorded for all; instances that are cut off may not go by it yet: repeat it"
	}
	if err != nil {
		text = fmt.Sprintf("%s (%v)", text, err)
	}
	return text
}

type modeAnswer struct {
	Route string `json:"route"`
	Mode  string `json:"mode"`
	Share string `json:"share,omitempty"` // empty: all requests
	For   string `json:"for,omitempty"`
}

func (h *handler) modeAnswer(o ModeOrder) modeAnswer {
	a := modeAnswer{Route: o.Route, Mode: o.Mode.String(), For: forWord(o.For)}
	if o.Share < 1 {
		a.Share = PercentOf(o.Share)
	}
	if !o.Reset {
		return a
	}
	a = modeAnswer{Route: o.Route}
	for _, now := range h.Modes() {
		if now.Route == o.Route {
			a.Mode = now.Mode
			if now.Share != PercentOf(1) {
				a.Share = now.Share
			}
		}
	}
	return a
}

// attrs are the attributes of an order in the audit log.
func (o ModeOrder) attrs() []slog.Attr {
	if o.Reset {
		return []slog.Attr{slog.String("route", o.Route), slog.String("mode", "configured")}
	}
	return []slog.Attr{
		slog.String("route", o.Route), slog.String("mode", o.Mode.String()), slog.String("share", PercentOf(o.Share)), slog.String("for", forWord(o.For)),
	}
}

func forWord(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func readModeCall(w http.ResponseWriter, r *request) (ModeOrder, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return ModeOrder{}, err
	}
	if r.Method == http.MethodDelete {
		if len(body) > 0 {
			return ModeOrder{}, problemf(http.StatusBadRequest, "DELETE goes back to the configured mode and takes no body; POST a mode to set one")
		}
		return ModeOrder{Reset: true}, nil
	}
	order, err := readModeOrder(body)
	if err != nil {
		return order, badRequest(err)
	}
	return order, nil
}

// readModeOrder reads {"mode":"on","share":"10%","for":"1h"}. Only mode is required.
func readModeOrder(body []byte) (o ModeOrder, err error) {
	var mode, share, duration string
	if err = readObject(body, map[string]any{"mode": &mode, "share": &share, "for": &duration}); err != nil {
		return o, err
	}
	var known bool
	if o.Mode, known = policy.ParseMode(mode); !known {
		return o, fmt.Errorf("mode is %q: use on, observe or off", shorten(mode))
	}
	if o.Share, err = parseShare(share); err != nil {
		return o, err
	}
	if o.Mode == policy.Off && share != "" {
		return o, errors.New("share goes with on and observe: the requests outside the share go as with off anyway")
	}
	if duration == "" {
		return o, nil
	}
	if o.For, err = time.ParseDuration(duration); err != nil || o.For <= 0 {
		return o, fmt.Errorf("for is %q: give a positive duration such as 30m or 1h, or leave it out", shorten(duration))
	}
	return o, nil
}

// minPercent is the smallest percentage that PercentOf does not round to zero.
const minPercent = 0.0001

// parseShare reads a percentage above zero. The empty text stands for all requests.
func parseShare(text string) (float64, error) {
	if text == "" {
		return 1, nil
	}
	number, ok := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(percent >= minPercent && percent <= 100) {
		return 0, fmt.Errorf("share is %q: give a percentage from %v%% to 100%%, such as 10%%, or use mode off", shorten(text), minPercent)
	}
	return percent / 100, nil
}
