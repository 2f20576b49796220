package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"cacheproxy/admin"
	"cacheproxy/invalidation"
	"cacheproxy/lockorder"
	"cacheproxy/policy"
	"cacheproxy/proxy"
)

// aboutMode begins the subject of notices about a route's mode; the route's name follows.
const aboutMode = "mode/"

// switched is the body of a notice about a mode. An empty body stands for the configured mode.
type switched struct {
	Mode  string  `json:"mode"`
	Share float64 `json:"share"`
	// Until and For state one end by two clocks. Where the clocks of sender and receiver differ, the sooner end counts.
	// Zero: the mode has no end.
	Until time.Time     `json:"until,omitzero"`
	For   time.Duration `json:"for_ns,omitempty"`
	By    string        `json:"by"`
}

// left is how long the mode stays in force; zero: without end. ok is false after the end.
func (s switched) left(now time.Time) (left time.Duration, ok bool) {
	if s.Until.IsZero() {
		return 0, true
	}
	left = min(s.For, s.Until.Sub(now))
	return left, left > 0
}

// switches are the modes that operators have set, as the log announces to every instance. Modes outlast the routes of a
// configuration: a route that a later configuration adds again gets the mode set earlier.
type switches struct {
	proxy *proxy.Proxy
	log   *slog.Logger

	mu   lockorder.Mutex[lockorder.Switches] // guards last and serializes orders; held only without waiting
	last map[string]switched
}

// heed takes a notice. The log calls heed in the order of notices, perhaps more than once for the same notice.
func (s *switches) heed(n invalidation.Notice) {
	route, ok := strings.CutPrefix(n.Subject, aboutMode)
	if !ok {
		s.log.Warn("a notice that this version does not know was ignored", "subject", n.Subject)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(n.Body) == 0 {
		delete(s.last, route)
		if err := s.proxy.ResetMode(route); err == nil {
			s.log.Info("mode is as configured again", "route", route)
		}
		return
	}
	var order switched
	if err := json.Unmarshal(n.Body, &order); err != nil {
		s.log.Error("a mode could not be read and is not in force", "route", route, "error", err)
		return
	}
	s.last[route] = order
	s.apply(route, order)
}

// apply puts a mode in force if this configuration has the route. The caller holds s.mu.
func (s *switches) apply(route string, order switched) {
	left, ok := order.left(time.Now())
	if !ok {
		delete(s.last, route)
		return
	}
	mode, known := policy.ParseMode(order.Mode)
	if !known {
		s.log.Error("a mode that this version does not know is not in force", "route", route, "mode", order.Mode, "by", order.By)
		return
	}
	if err := s.proxy.SetMode(route, proxy.ModeOrder{Mode: mode, Share: order.Share, For: left, By: order.By}); err != nil {
		s.log.Info("mode of a route that is not configured here is kept for when it is", "route", route, "mode", order.Mode)
		return
	}
	s.log.Info("mode set", "route", route, "mode", order.Mode, "share", order.Share, "for", left.String(), "by", order.By)
}

// renew applies the modes of routes that have been added since before.
func (s *switches) renew(before []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, route := range s.proxy.RouteNames() {
		if order, ok := s.last[route]; ok && !slices.Contains(before, route) {
			s.apply(route, order)
		}
	}
}

// noticeOf is the notice for an operator's order.
func noticeOf(o admin.ModeOrder, now time.Time) (invalidation.Notice, error) {
	n := invalidation.Notice{Subject: aboutMode + o.Route}
	if o.Reset {
		return n, nil
	}
	order := switched{Mode: o.Mode.String(), Share: o.Share, For: o.For, By: o.Who}
	if o.For > 0 {
		order.Until = now.Add(o.For).UTC()
	}
	var err error
	if n.Body, err = json.Marshal(order); err != nil {
		return n, fmt.Errorf("write mode down: %w", err)
	}
	return n, nil
}

// setMode announces an order to every instance. On this instance the mode comes into force in any case: the switch must
// work when everything else fails.
func (i *Instance) setMode(ctx context.Context, o admin.ModeOrder) (invalidation.Receipt, error) {
	n, err := noticeOf(o, time.Now())
	if err != nil {
		return invalidation.Receipt{}, err
	}
	cutOff := !i.fleet.leased(time.Now())
	if cutOff {
		i.switches.heed(n) // at once, since the log may take long
	}
	r, err := i.entries.Announce(ctx, n)
	if !cutOff && (err != nil || !r.Held) {
		i.switches.heed(n)
	}
	return r, err
}
