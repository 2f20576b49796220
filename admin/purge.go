package admin

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// waitAll is the default of wait.
const waitAll = "all"

// waits are the values of wait, by word. local is for a shared log that is down.
var waits = map[string]invalidation.Wait{
	waitAll: invalidation.WaitAll, "none": invalidation.WaitRecorded, "local": invalidation.WaitLocal,
}

// Purge is what one call makes unusable. The caller does not choose the settle time of the order.
type Purge struct {
	invalidation.Order
	Kind string // key, tag, url, prefix, route, all or mixed; a label of the metrics
}

// purgeName serves DELETE /keys/{key...} and DELETE /tags/{tag...}.
func (h *handler) purgeName(kind policy.MemberKind) func(http.ResponseWriter, *request) error {
	return func(w http.ResponseWriter, r *request) error {
		o := order{}
		if kind == policy.KindKey {
			o.keys = []string{r.name}
		} else {
			o.tags = []string{r.name}
		}
		raw := strings.TrimPrefix(r.target.Path, "/"+kind.String()+"s/")
		if err := checkName(kind, raw, r.name); err != nil {
			return badRequest(err)
		}
		if err := readWords(r.target.Query, &o); err != nil {
			return badRequest(err)
		}
		return h.carryOut(w, r, o)
	}
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

// purgeBody serves POST /purge.
func (h *handler) purgeBody(w http.ResponseWriter, r *request) error {
	order, err := readPurgeOrder(r.body)
	if err == nil {
		err = readWords(r.target.Query, &order)
	}
	if err != nil {
		return badRequest(err)
	}
	return h.carryOut(w, r, order)
}

// checkRoutes refuses unknown routes: purging a misspelt one would succeed without effect.
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

// purge carries out an order, fills in the audit entry, and answers. The purge continues when the client leaves. The
// members of hard are purged for good before members become stale.
func (h *handler) purge(w http.ResponseWriter, r *request, o order, members, hard []policy.Member) error {
	if len(members) == 0 {
		return problemf(http.StatusBadRequest, "the purge names nothing")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.ConfirmTimeout())
	defer cancel()
	p := Purge{invalidation.Order{Members: hard, Wait: o.wait}, o.kind()}
	var receipt invalidation.Receipt
	var err error
	status := http.StatusOK
	if len(hard) > 0 {
		receipt, err = h.Purge(ctx, p)
		status = h.settle(ctx, o, p, receipt, err)
	}
	if p.Members, p.Soft = members, o.soft; status < http.StatusBadRequest {
		receipt, err = h.Purge(ctx, p)
		status = h.settle(ctx, o, p, receipt, err)
	} else {
		_ = h.settle(ctx, o, p, invalidation.Receipt{}, err)
	}
	r.entry.tell("purge", purgeAttrs(p, receipt, err)...)
	return o.form.receipt(w, o, status, receipt, h.tell(o, r.caller.bounds), err)
}

// settle returns the status for a purge. Where a purge is unconfirmed and its caller does not repeat, settle applies
// the purge on this instance and queues it until the log has it. From then on the purge holds wherever instances follow
// the log. The status stays 503, since the purge does not hold yet.
func (h *handler) settle(ctx context.Context, o order, p Purge, receipt invalidation.Receipt, err error) int {
	status := purgeStatus(p.Wait, receipt, err)
	if o.repeats && status == http.StatusServiceUnavailable {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.ConfirmTimeout()) // ctx is spent
		defer cancel()
		p.Wait = invalidation.WaitLocal
		_, _ = h.Purge(ctx, p) // never fails: entries that cannot be written are queued
	}
	return status
}

// purgeStatus decides the status of a purge. Only a purge that holds everywhere is 200.
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
	ID         string   `json:"id"`
	Seq        uint64   `json:"seq"`
	Instances  int      `json:"instances"`
	Acked      []string `json:"acked"`
	Reaped     []string `json:"reaped"`
	TookMS     float64  `json:"took_ms"`
	Understood []string `json:"understood,omitempty"`
	Unseen     []string `json:"unseen_here,omitempty"`
}

// receiptOf is the receipt of a purge that holds everywhere.
func receiptOf(r invalidation.Receipt, t told) heldAnswer {
	return heldAnswer{r.ID, r.Seq, r.Instances, orEmpty(r.Acked), orEmpty(r.Reaped), milliseconds(r.Took), t.understood, t.unseen}
}

type acceptedAnswer struct {
	ID         string   `json:"id"`
	Seq        uint64   `json:"seq"`
	Recorded   bool     `json:"recorded"`
	Held       bool     `json:"held"`
	TookMS     float64  `json:"took_ms"`
	Understood []string `json:"understood,omitempty"`
	Unseen     []string `json:"unseen_here,omitempty"`
}

type unheldAnswer struct {
	Recorded bool   `json:"recorded"`
	Held     bool   `json:"held"` // always false
	Error    string `json:"error,omitempty"`
}

func answerPurge(w http.ResponseWriter, status int, r invalidation.Receipt, t told, err error) error {
	switch status {
	case http.StatusOK:
		return writeJSON(w, status, receiptOf(r, t))
	case http.StatusAccepted:
		return writeJSON(w, status, acceptedAnswer{r.ID, r.Seq, r.Recorded, r.Held, milliseconds(r.Took), t.understood, t.unseen})
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

// milliseconds is a duration in milliseconds, rounded to the microsecond, for receipts and the log.
func milliseconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e3 }

// orEmpty makes JSON have [] instead of null.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// purgeAttrs are the attributes of a purge in the audit log.
func purgeAttrs(p Purge, r invalidation.Receipt, err error) []slog.Attr {
	const listed = 50
	names := make([]string, 0, min(len(p.Members), listed))
	for _, m := range p.Members[:cap(names)] {
		name := m.String()
		if m.Kind() == policy.KindURL {
			name = withoutValues(name)
		}
		names = append(names, shorten(name))
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
