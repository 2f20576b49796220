package admin

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// waitAll is what a purge waits for unless it says otherwise.
const waitAll = "all"

// waits are what a purge may wait for, by the word of the call. The last is for when the shared log is dead.
var waits = map[string]invalidation.Wait{
	waitAll: invalidation.WaitAll, "none": invalidation.WaitRecorded, "local": invalidation.WaitLocal,
}

// Purge is what one call makes unusable. How long after the order is to be repeated is not the caller's to say.
type Purge struct {
	invalidation.Order
	Kind string // key, tag, url, prefix, route, all or mixed; a label of the metrics
}

// purgeName serves DELETE /keys/{key...} and DELETE /tags/{tag...}.
func (h *handler) purgeName(kind policy.MemberKind) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, r *request) error {
		p := Purge{invalidation.Order{Members: []policy.Member{policy.NewMember(kind, r.name)}}, kind.String()}
		raw := strings.TrimPrefix(r.target.Path, "/"+kind.String()+"s/")
		if err := checkName(kind, raw, r.name); err != nil {
			return badRequest(err)
		}
		if err := readPurgeQuery(r.target.Query, &p); err != nil {
			return badRequest(err)
		}
		return h.purge(w, r, p)
	}
}

// readPurgeQuery reads ?soft=&wait=, refusing what it does not know.
func readPurgeQuery(raw string, p *Purge) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("parse query: %w", err)
	}
	for name, values := range query {
		if len(values) != 1 {
			return fmt.Errorf("query parameter %q is there %d times: give it once", name, len(values))
		}
		switch name {
		case "soft":
			if p.Soft, err = strconv.ParseBool(values[0]); err != nil {
				return fmt.Errorf("soft is %q: use 1 or 0", values[0])
			}
		case "wait":
			if p.Wait, err = readWait(values[0]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown query parameter %q: use soft and wait; a '?' in a name is sent as %%3F", shorten(name))
		}
	}
	return nil
}

func readWait(word string) (invalidation.Wait, error) {
	wait, ok := waits[word]
	if !ok {
		return 0, fmt.Errorf("wait is %q: use all, none or local", shorten(word))
	}
	return wait, nil
}

func wordOf(wait invalidation.Wait) string {
	for word, w := range waits {
		if w == wait {
			return word
		}
	}
	return ""
}

// purgeURL serves PURGE: the request's own target and Host name what to purge.
func (h *handler) purgeURL(w http.ResponseWriter, r *request) error {
	target, err := readPurgeTarget(r)
	if err != nil {
		return badRequest(err)
	}
	return h.purge(w, r, Purge{invalidation.Order{Members: h.urlMembers(target)}, policy.KindURL.String()})
}

// purgeBody serves POST /purge.
func (h *handler) purgeBody(w http.ResponseWriter, r *request) error {
	if r.target.Query != "" {
		return problemf(http.StatusBadRequest, "POST /purge takes no query parameters: write soft and wait into the body, as {\"tags\":[…],\"soft\":true}")
	}
	order, err := readPurgeOrder(r.body)
	if err != nil {
		return err
	}
	members, err := h.membersOf(order)
	if err != nil {
		return badRequest(err)
	}
	return h.purge(w, r, Purge{invalidation.Order{Members: members, Soft: order.soft, Wait: waits[order.wait]}, order.kind()})
}

// membersOf names everything in an order, or fails without having named anything.
func (h *handler) membersOf(o purgeOrder) ([]policy.Member, error) {
	if err := h.checkRoutes(o.routes); err != nil {
		return nil, err
	}
	var members []policy.Member
	if o.all {
		members = append(members, policy.All)
	}
	for _, named := range [...]struct {
		kind   policy.MemberKind
		values []string
	}{{policy.KindKey, o.keys}, {policy.KindTag, o.tags}, {policy.KindRoute, o.routes}} {
		for _, value := range named.values {
			members = append(members, policy.NewMember(named.kind, value))
		}
	}
	for _, rooted := range [...]struct {
		values   []string
		split    func(string) (httpcache.Target, error)
		isPrefix bool
		members  func(httpcache.Target) []policy.Member
	}{{o.urls, splitTarget, false, h.urlMembers}, {o.prefixes, splitPrefix, true, prefixMembers}} {
		for _, value := range rooted.values {
			target, err := rooted.split(value)
			if err == nil {
				err = checkLiteral(target, rooted.isPrefix)
			}
			if err != nil {
				return nil, err
			}
			members = append(members, rooted.members(target)...)
		}
	}
	return members, nil
}

// checkRoutes refuses routes that do not exist: a misspelt one would be purged with success and without effect.
func (h *handler) checkRoutes(routes []string) error {
	if len(routes) == 0 {
		return nil
	}
	known := h.RouteNames()
	for _, name := range routes {
		if !slices.Contains(known, name) {
			return unknownRoute(name, known)
		}
	}
	return nil
}

func unknownRoute(name string, known []string) error {
	return fmt.Errorf("no route is named %q; there are: %s", shorten(name), strings.Join(known, ", "))
}

// purge carries a purge out, tells the audit log, and answers. It goes on when the client leaves.
func (h *handler) purge(w http.ResponseWriter, r *request, p Purge) error {
	if len(p.Members) == 0 {
		return problemf(http.StatusBadRequest, "the purge names nothing")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.ConfirmTimeout())
	defer cancel()
	receipt, err := h.Purge(ctx, p)
	r.entry.tell("purge", purgeAttrs(p, receipt, err)...)
	return answerPurge(w, purgeStatus(p.Wait, receipt, err), receipt, err)
}

// purgeStatus decides what may be promised. Only what holds everywhere is 200.
func purgeStatus(wait invalidation.Wait, receipt invalidation.Receipt, err error) int {
	switch {
	case err != nil:
		return http.StatusServiceUnavailable
	case wait == invalidation.WaitAll && receipt.Held:
		return http.StatusOK
	case wait == invalidation.WaitRecorded && (receipt.Recorded || receipt.Held), wait == invalidation.WaitLocal:
		return http.StatusAccepted
	}
	return http.StatusServiceUnavailable
}

type heldAnswer struct {
	ID        string   `json:"id"`
	Seq       uint64   `json:"seq"`
	Instances int      `json:"instances"`
	Acked     []string `json:"acked"`
	Reaped    []string `json:"reaped"`
	TookMS    float64  `json:"took_ms"`
}

type acceptedAnswer struct {
	ID       string  `json:"id"`
	Seq      uint64  `json:"seq"`
	Recorded bool    `json:"recorded"`
	Held     bool    `json:"held"`
	TookMS   float64 `json:"took_ms"`
}

type unheldAnswer struct {
	Recorded bool   `json:"recorded"`
	Held     bool   `json:"held"` // always false
	Error    string `json:"error,omitempty"`
}

func answerPurge(w http.ResponseWriter, status int, r invalidation.Receipt, err error) error {
	took := milliseconds(r.Took)
	switch status {
	case http.StatusOK:
		return writeJSON(w, status, heldAnswer{r.ID, r.Seq, r.Instances, orEmpty(r.Acked), orEmpty(r.Reaped), took})
	case http.StatusAccepted:
		return writeJSON(w, status, acceptedAnswer{r.ID, r.Seq, r.Recorded, r.Held, took})
	}
	answer := unheldAnswer{Recorded: r.Recorded}
	if !r.Recorded {
		answer.Error = "the purge is not recorded: repeat it"
		if err != nil {
			answer.Error = fmt.Sprintf("the purge is not recorded, repeat it: %v", err)
		}
	}
	w.Header().Set("Retry-After", "1")
	return writeJSON(w, status, answer)
}

// milliseconds is a duration as receipts and the log show it, to the microsecond.
func milliseconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e3 }

// orEmpty makes JSON say [] instead of null.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// purgeAttrs is what the audit log says of a purge.
func purgeAttrs(p Purge, r invalidation.Receipt, err error) []slog.Attr {
	const listed = 50
	names := make([]string, 0, min(len(p.Members), listed))
	for _, m := range p.Members[:cap(names)] {
		names = append(names, shorten(m.String()))
	}
	attrs := []slog.Attr{
		slog.String("kind", p.Kind), slog.Any("members", names), slog.Int("count", len(p.Members)), slog.Bool("soft", p.Soft),
		slog.String("wait", wordOf(p.Wait)), slog.String("id", r.ID), slog.Uint64("seq", r.Seq), slog.Bool("recorded", r.Recorded), slog.Bool("held", r.Held),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	return attrs
}
