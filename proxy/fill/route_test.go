package fill

import (
	"net/http"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// While changes may be unknown, a fresh copy that was not confirmed lately is good for when the origin fails, or for while it is renewed where
// a stale one would be; at the end of its lifetime, or once something is known against it, it is what it would be else.
func TestUsableWhileBlind(t *testing.T) {
	const s = time.Second
	plain := httpcache.Lifetime{Fresh: 60 * s, Keep: time.Hour}
	with := func(change func(*httpcache.Lifetime)) httpcache.Lifetime { l := plain; change(&l); return l }
	renewed := with(func(l *httpcache.Lifetime) { l.StaleWhileRevalidate = s })
	must := with(func(l *httpcache.Lifetime) { l.StaleWhileRevalidate, l.StaleIfError, l.MustRevalidate = s, s, true })
	purge, soft, confirm := &invalidation.Order{}, &invalidation.Order{Soft: true}, &invalidation.Order{Confirm: true}
	for _, c := range []struct {
		about  string
		life   httpcache.Lifetime
		after  time.Duration
		down   time.Duration // feed_down_ttl
		sees   bool
		order  *invalidation.Order // after the copy
		use    httpcache.Freshness
		reason policy.Reason
	}{
		{"fetched lately", plain, 10*s - 1, 10 * s, false, nil, httpcache.Fresh, policy.NoReason},
		{"not lately", plain, 10 * s, 10 * s, false, nil, httpcache.StaleOnError, policy.FeedDown},
		{"its last moment", plain, 60*s - 1, 10 * s, false, nil, httpcache.StaleOnError, policy.FeedDown},
		{"the end of its lifetime", plain, 60 * s, 10 * s, false, nil, httpcache.NeedsValidation, policy.Expired},
		{"the age on arrival counts", with(func(l *httpcache.Lifetime) { l.InitialAge = 50 * s }), 10 * s, 10 * s, false, nil, httpcache.NeedsValidation, policy.Expired},
		{"changes are seen", plain, 10 * s, 10 * s, true, nil, httpcache.Fresh, policy.NoReason},
		{"no table feeds it", plain, 10 * s, 0, false, nil, httpcache.Fresh, policy.NoReason},
		{"stale-while-revalidate", renewed, 10 * s, 10 * s, false, nil, httpcache.StaleServable, policy.FeedDown},
		{"must-revalidate forbids stale copies", must, 10 * s, 10 * s, false, nil, httpcache.StaleOnError, policy.FeedDown},
		{"must-revalidate, and it is stale", must, 60 * s, 10 * s, false, nil, httpcache.NeedsValidation, policy.Expired},
		{"no-cache", with(func(l *httpcache.Lifetime) { l.NoCache = true }), 10 * s, 10 * s, false, nil, httpcache.NeedsValidation, policy.Expired},
		{"purged", plain, 10 * s, 10 * s, false, purge, httpcache.Dead, policy.Purged},
		{"purged softly", plain, 10 * s, 10 * s, false, soft, httpcache.NeedsValidation, policy.SoftPurged},
		{"after a gap", plain, 10 * s, 10 * s, false, confirm, httpcache.NeedsValidation, policy.Unconfirmed},
	} {
		ledger, now := invalidation.NewLedger(), time.Now()
		copied := store.NewCopy(200, http.Header{}, nil)
		copied.SetMembers(invalidation.IDsOf([]policy.Member{policy.All}))
		c.life.Received = now
		copied.SetLife(c.life)
		copied.Stamp.Set(ledger.Token())
		if c.order != nil {
			c.order.Members = []policy.Member{policy.All}
			if _, err := invalidation.NewLocal(ledger, "test").Invalidate(t.Context(), *c.order); err != nil {
				t.Fatal(err)
			}
		}
		r := &Route{Route: &policy.Route{FeedDownTTL: c.down}, Blind: func(time.Time) bool { return !c.sees }}
		if use, why := r.Usable(copied, ledger, now.Add(c.after)); use != c.use || why != c.reason {
			t.Errorf("%s: %v, %v; want %v, %v", c.about, use, why, c.use, c.reason)
		}
	}
}
