package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// flushed makes a writing of a queued write, as if the request had just come. The route that matches in the
// configuration in force says what the write invalidates, whatever route had accepted the write. If no route matches,
// the write invalidates its own URL.
func (b *Behind) flushed(ctx context.Context, w *writebehind.Write) *writing {
	ex := &exchange{p: b.p}
	ex.cfg, ex.rq, ex.start, ex.target, ex.mode = b.p.config(), &ex.request, time.Now(), w.Target(), policy.On
	ex.query = ex.target.Query
	ex.r = (&http.Request{
		Method: w.Method, URL: &url.URL{}, Host: w.Host, Header: w.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(w.Body)),
	}).WithContext(ctx)
	client, _ := netip.ParseAddr(w.Client) // the zero Addr if the client's address was not known
	ex.match, _ = ex.cfg.Table.Match(w.Method, ex.target, w.Header, client)
	ex.route = ex.cfg.unmatched
	if ex.match.Route != nil {
		ex.route = ex.cfg.routes[ex.match.Route]
	}
	members, _, excess := ex.route.Effects(&ex.match, ex.target, ex.target.Query, w.Header, w.Body)
	if excess != nil { // the accepting configuration saw no excess; the changed copies are among those of both routes
		members = []policy.Member{policy.NewMember(policy.KindRoute, ex.route.Name), policy.NewMember(policy.KindRoute, w.Route)}
	}
	return &writing{ex: ex, members: members}
}

// Send sends a queued write to the origin, and invalidates the members that the write changes, as for a write that a
// client sends directly. Send calls holds right before the write is sent. holds reports whether this instance still
// owns the write's partition; if not, nothing is sent. The Try says what has happened.
func (b *Behind) Send(ctx context.Context, w *writebehind.Write, sequence uint64, holds func() bool) writebehind.Try {
	f := b.flushed(ctx, w)
	origin := f.ex.cfg.upstreams[w.Upstream]
	if origin == nil {
		return writebehind.Try{Problem: "there is no upstream " + strconv.Quote(w.Upstream) + " any more"}
	}
	if !f.begin() {
		return writebehind.Try{Problem: "it cannot be announced to the caches", Unasked: true}
	}
	f.before = b.p.ledger.Token()
	defer f.leave()
	h := w.Header.Clone()
	h[sequenceField] = []string{strconv.FormatUint(sequence, 10)}
	res, err := exchangeOnce(ctx, origin, &once{
		method: w.Method, target: f.ex.target, header: h, body: w.Body, route: w.Route,
		sending: func(req *http.Request) (func(*http.Response, error), bool) {
			if !holds() {
				return nil, false
			}
			f.sent = true
			return f.ex.route.Sending(policy.MethodUnsafe, nil, req), true
		},
	})
	switch {
	case errors.Is(err, errNotNow):
		f.undone()
		f.settled = true
		return writebehind.Try{Problem: errNotNow.Error(), Unasked: true}
	case err != nil:
		f.unanswered(err)
		b.p.logger.Warn("no answer from upstream to a write of the queue", "route", w.Route, "upstream", w.Upstream, "sequence", sequence, "error", err)
		try := writebehind.Try{Sent: f.sent && !upstream.NotSent(err), Problem: upstream.Classify(err).String()}
		if try.Sent && upstream.Classify(err) == policy.OriginTimeout {
			try.AtWork = origin.Timeout()
		}
		return try
	}
	if err := f.answered(res); err != nil {
		return writebehind.Try{Sent: true, Problem: err.Error()}
	}
	return writebehind.Try{
		Sent: true, Status: res.StatusCode, RetryAfter: httpcache.RetryAfter(res.Header, time.Now()),
		Confirmed: res.StatusCode < http.StatusBadRequest && f.told.Detail == "",
		Confirm: func(context.Context) error {
			named, older := f.ex.route.ResponseEffects(&f.ex.match, f.ex.target, res.Header)
			_, err := b.p.confirm(nil, invalidation.Order{Members: append(f.bounded(f.members), f.bounded(named)...), Older: older, Wide: f.wide, Settle: f.ex.route.Settle})
			return err
		},
	}
}

// Confirm invalidates the members of a write that a previous owner of the partition has sent to the origin without
// confirming the invalidation. The members that the origin's answer to that owner named are not known here. So the
// origin has to confirm every copy before the copy is used.
func (b *Behind) Confirm(ctx context.Context, w *writebehind.Write) error {
	f := b.flushed(ctx, w)
	members := append(f.bounded(f.members), policy.NewMember(policy.KindRoute, w.Route))
	if _, err := b.p.confirm(nil, invalidation.Order{Members: members, Settle: f.ex.route.Settle}); err != nil {
		return err
	}
	_, err := b.p.confirm(nil, invalidation.Order{Members: []policy.Member{policy.All}, Confirm: true})
	return err
}
