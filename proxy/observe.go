package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// observed ends the keys of what observed routes store.
const observed = 'o'

// observe lets the origin answer, and compares the answer with what would have been served. What would have been stored
// is stored, so that the next comparison is true to life.
func (ex *exchange) observe() {
	// The origin sees the request as it came, with fields that no key holds. What it answers is compared, and never
	// served: it is kept apart, where no read of another mode looks. No key is the beginning of another.
	ex.key = append(ex.key, observed)
	c := ex.lookup(unsafe.String(unsafe.SliceData(ex.key), len(ex.key)), ex.start)
	ex.status.Outcome, ex.status.Reason = policy.WouldMiss, c.reason
	token, requested := ex.p.ledger.Token(), time.Now()
	would := c.use >= whileFresh
	if would {
		// Until the last byte has been compared.
		ex.status.Outcome = policy.WouldDiffer
	}
	same := false
	ex.through(func(res *http.Response) error {
		status, header := res.StatusCode, res.Header.Clone()
		if would && status == http.StatusNotModified {
			same = policy.ConfirmsStored(c.Copy.Header(), header)
			return nil
		}
		verdict := ex.route.Judge(policy.Fetch{
			Method: ex.semantics(), Requested: requested, Received: time.Now(), Status: status, Header: header,
			BodyLength: res.ContentLength, MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(),
		})
		if ex.r.Method == http.MethodHead {
			same = would && status == c.Copy.Status && header.Get("Etag") == c.Copy.Get("Etag")
			return nil
		}
		res.Body = &capture{ReadCloser: res.Body, limit: ex.cfg.MaxObject, done: func(body []byte) {
			same = would && store.Digest(status, body) == c.Copy.Digest
			if verdict.Store {
				ex.keep(status, header, body, verdict, token)
			}
		}}
		return nil
	}, func() {})
	if would && same {
		ex.status.Outcome = policy.WouldHit
	}
}

// keep stores an answer that came by another way than a fill.
func (ex *exchange) keep(status int, header http.Header, body []byte, verdict policy.Verdict, token invalidation.Token) {
	members := ex.route.Members(&ex.match, ex.target, ex.query, ex.r.Header, header)
	ids := invalidation.IDsOf(members)
	ex.p.ledger.Retain(verdict.Lifetime.Retention())
	if len(members) > policy.MaxMembers || int64(len(body)) < ex.route.StoreIf.MinBytes || !ex.p.ledger.Admits(token, ids) {
		return
	}
	copied := store.NewCopy(status, dated(ex.route.StoredHeader(header), verdict.Lifetime.Received), exact(body))
	copied.Life, copied.Vary, copied.Members = verdict.Lifetime, verdict.Vary, ids
	copied.Stamp.Set(token)
	ex.p.store.Put(string(ex.key), ex.r.Header, copied)
}
