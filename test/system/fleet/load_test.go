package fleet

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/test/system/promise"
)

// host is the Host of every request, which is part of what copies are stored under: clients know a fleet by one name.
const host = "fleet.example"

// editors is how many clients of each member purge, and how many write: one may have to wait for an instance that is dead.
const editors = 2

// callTimeout is how long a client waits for an answer.
const callTimeout = 40 * time.Second

// absent is the pause before a client looks again whether its member is back.
const absent = 10 * time.Millisecond

// Load is what clients, editors and writers do to a fleet. Each has a member of its own, so that a member that does not answer
// holds up nobody else.
type Load struct {
	Members []*Member
	Origin  *Origin
	Check   *promise.Check
	Keys    int
	Readers int           // of each member
	Pause   time.Duration // between two reads of one reader; zero: none
	Purge   time.Duration // pause between purges; zero: none
	Write   time.Duration // pause between writes through the proxies; zero: none

	Purges, Writes, Unconfirmed atomic.Int64
	SlowestPurge, PurgeTime     atomic.Int64 // ns
	client                      *http.Client

	mu      sync.Mutex
	reasons []string // the first few of what was not confirmed; guarded by mu
}

// Run puts the load on until ctx ends.
func (l *Load) Run(ctx context.Context) {
	l.client = &http.Client{
		Timeout:   callTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 1024, DisableCompression: true},
	}
	defer l.client.CloseIdleConnections()
	var running sync.WaitGroup
	for _, m := range l.Members {
		for i := range l.Readers {
			r := &reader{load: l, many: 1 + i%2*(pipelined-1)}
			running.Go(func() {
				defer r.close()
				l.every(ctx, m, l.Pause, r.read)
			})
		}
		for range editors {
			if share := time.Duration(editors * len(l.Members)); l.Purge > 0 {
				running.Go(func() { l.every(ctx, m, share*l.Purge, l.purge) })
			}
			if share := time.Duration(editors * len(l.Members)); l.Write > 0 {
				running.Go(func() { l.every(ctx, m, share*l.Write, l.write) })
			}
		}
	}
	running.Wait()
}

// every does something at a member again and again, with a pause that varies.
func (l *Load) every(ctx context.Context, m *Member, pause time.Duration, do func(context.Context, *Member)) {
	for ctx.Err() == nil {
		wait := pause/2 + rand.N(pause+1)
		if _, up := m.Data(); up {
			do(ctx, m)
		} else {
			wait += absent
		}
		if wait == 0 {
			continue
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// key is one that is often asked for, or one that hardly ever is: a few are hot.
func (l *Load) key() int {
	r := rand.Float64()
	return int(r * r * r * float64(l.Keys))
}

// verify reads a key from every member, as whoever has just changed it does: then an answer that was under way before is
// likely to be under way still.
func (l *Load) verify(ctx context.Context, key int) {
	var reading sync.WaitGroup
	for _, m := range l.Members {
		reading.Go(func() { l.readKey(ctx, m, key) })
	}
	reading.Wait()
}

func (l *Load) readKey(ctx context.Context, m *Member, key int) {
	base, ok := m.Data()
	if !ok {
		return
	}
	want, risky := l.Check.Expected(key)
	asked := time.Now()
	status, header, body, err := l.call(ctx, http.MethodGet, fmt.Sprintf("%s/v/%d", base, key), "")
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.Check.Failed.Add(1)
	default:
		l.compare(m, sentRead{key, want, risky}, asked, status, header, body)
	}
}

// compare compares an answer with what was expected when it was asked for.
func (l *Load) compare(m *Member, s sentRead, asked time.Time, status int, header http.Header, body string) {
	if status != http.StatusOK {
		l.Check.Refused.Add(1)
		return
	}
	k, v, _ := strings.Cut(body, " ")
	version, err := strconv.ParseInt(v, 10, 64)
	if err != nil || k != strconv.Itoa(s.key) {
		l.Check.Read(s.key, s.want+1, s.risky, -1, asked, fmt.Sprintf("%s answered %q", m.Name, body))
		return
	}
	how := ""
	if version < s.want {
		how = fmt.Sprintf("%s, Cache-Status: %s, Age: %s", m.Name, header.Get("Cache-Status"), header.Get("Age"))
	}
	l.Check.Read(s.key, s.want, s.risky, version, asked, how)
}

// purge changes one key or all of a tag, and purges that on a member.
func (l *Load) purge(ctx context.Context, m *Member) {
	admin, ok := m.Admin()
	if !ok {
		return
	}
	changed := map[int]int64{}
	var order string
	if rand.IntN(2) == 0 {
		key := l.key()
		changed[key] = l.Origin.Bump(key)
		order = fmt.Sprintf(`{"keys":["item:%d"]}`, key)
	} else {
		tag := l.Origin.Tag(l.key())
		for key := tag; key < l.Keys; key += l.Origin.tags {
			changed[key] = l.Origin.Bump(key)
		}
		order = fmt.Sprintf(`{"tags":["tag-%d"]}`, tag)
	}
	began := time.Now()
	status, _, said, err := l.call(ctx, http.MethodPost, admin+"/purge", order)
	if ctx.Err() != nil {
		return
	}
	if err != nil || status != http.StatusOK {
		l.unconfirmed("purge", m, began, status, said, err)
		return
	}
	took := int64(time.Since(began))
	raise(&l.SlowestPurge, took)
	l.PurgeTime.Add(took)
	l.Purges.Add(1)
	for key, version := range changed {
		l.Check.Acknowledged(key, version)
	}
	for key := range changed { // one of them
		l.verify(ctx, key)
		break
	}
}

// write writes through a member.
func (l *Load) write(ctx context.Context, m *Member) {
	base, ok := m.Data()
	if !ok {
		return
	}
	key, began := l.key(), time.Now()
	status, header, body, err := l.call(ctx, http.MethodPut, fmt.Sprintf("%s/v/%d", base, key), "x")
	if ctx.Err() != nil {
		return
	}
	var k int
	var version int64
	if _, scan := fmt.Sscanf(body, "%d %d", &k, &version); err != nil || status != http.StatusOK || scan != nil ||
		strings.Contains(header.Get("Cache-Status"), "not-confirmed") {
		l.unconfirmed("write", m, began, status, header.Get("Cache-Status"), err)
		return
	}
	l.Writes.Add(1)
	l.Check.Acknowledged(key, version)
	l.verify(ctx, key)
}

func (l *Load) unconfirmed(what string, m *Member, began time.Time, status int, said string, err error) {
	l.Unconfirmed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.reasons) < 5 {
		l.reasons = append(l.reasons, fmt.Sprintf("%s: %s on %s after %v: status %d, %v: %s", began.Format("15:04:05.000"), what, m.Name,
			time.Since(began).Round(time.Millisecond), status, err, strings.TrimSpace(said)))
	}
}

// Reasons are why the first purges and writes that were not confirmed were not.
func (l *Load) Reasons() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.reasons...)
}

func (l *Load) call(ctx context.Context, method, url, body string) (status int, h http.Header, text string, err error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return 0, nil, "", err
	}
	if !strings.HasSuffix(r.URL.Path, "/purge") {
		r.Host = host
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := l.client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, res.Header, string(b), err
}

// Report says what happened.
func (l *Load) Report() string {
	c := l.Check
	purges := max(l.Purges.Load(), 1)
	return fmt.Sprintf("%d stale of %d reads at risk (95 %% bound: %.2g), of %d reads in all; %d refused, %d without an answer; "+
		"%d purges (%v on average, %v at most), %d writes, %d neither of which was confirmed; %d requests at the origin",
		c.Stale.Load(), c.AtRisk.Load(), c.Bound(), c.Reads.Load(), c.Refused.Load(), c.Failed.Load(),
		l.Purges.Load(), time.Duration(l.PurgeTime.Load()/purges).Round(10*time.Microsecond), time.Duration(l.SlowestPurge.Load()).Round(time.Millisecond),
		l.Writes.Load(), l.Unconfirmed.Load(), l.Origin.Requests())
}
