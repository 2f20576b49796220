package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// report counts a finished request, ends the trace, and logs the request if its record is sampled.
func (ex *exchange) report() {
	took := time.Since(ex.start)
	ex.route.Metrics.Observe(observe.Answer{Outcome: ex.finalOutcome(), Status: ex.w.code, Bytes: ex.w.bytes, Took: took})
	switch ex.finalOutcome() {
	case policy.Shed:
		ex.route.Requests.Shed()
	case policy.Hit, policy.Stale, policy.Revalidated, policy.Miss, policy.Collapsed:
		ex.route.Requests.Read()
	}
	ex.endTrace()
	record := observe.Record{Time: ex.start, Status: ex.w.code, Aborted: ex.aborted(), Outcome: ex.finalOutcome()}
	if ex.p.access.Sampled(&record) {
		record.Duration = took
		ex.describeTo(&record)
		ex.p.access.Write(&record)
	}
}

// describeTo fills in the fields of a log record that are worked out only for logged requests.
func (ex *exchange) describeTo(r *observe.Record) {
	r.Method, r.Host, r.Path, r.Query = ex.r.Method, ex.r.Host, ex.target.Path, ex.target.Query
	if r.Path == "" {
		r.Path = ex.r.URL.Path // a target that could not be understood
	}
	r.Protocol, r.UserAgent, r.Client = ex.r.Proto, ex.r.Header.Get("User-Agent"), addrText(ex.clientAddr())
	r.Bytes, r.Route, r.Reason, r.Key = ex.w.bytes, ex.route.Name, ex.finalReason(), ex.shownName()
	r.Cache = ex.cacheStatus()
	if ex.origin > 0 || ex.status.FwdStatus != 0 {
		r.Origin, r.Upstream, r.Address = ex.origin, ex.route.Upstream, ex.address
	}
	r.UnlistedKind, r.Unlisted = ex.bypass.kind, strings.Join(ex.bypass.names, ",")
	r.RequestID = ex.requestID
	if rules := ex.route.behind; rules != nil && (ex.status.Outcome == policy.Queued || r.Status == http.StatusServiceUnavailable) {
		r.WriteID, _ = strings.CutPrefix(ex.w.Header().Get("Location"), rules.StatusPath)
	}
	if ex.originID != ex.requestID {
		r.OriginID = ex.originID
	}
	if r.TraceID = ex.span.TraceID(); r.TraceID == "" {
		r.TraceID = httpcache.TraceID(ex.r.Header)
	}
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
