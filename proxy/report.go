package proxy

import (
	"net/netip"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
)

// report counts an answered request, and logs it where the sample says so.
func (ex *exchange) report() {
	took := time.Since(ex.start)
	ex.route.metrics.Observe(ex.status.Outcome, took)
	if ex.status.Outcome == policy.Shed {
		ex.route.upstream.Shed()
	}
	if !ex.p.access.Sampled(ex.status.Outcome) {
		return
	}
	ex.p.access.Write(observe.Record{
		Time: ex.start, Method: ex.r.Method, Host: ex.r.Host, Path: ex.target.Path, Query: ex.target.Query,
		Status: ex.w.code, Bytes: ex.w.bytes, Duration: took, Route: ex.route.Name,
		Outcome: ex.status.Outcome, Reason: ex.status.Reason, Key: ex.name(), OriginTime: ex.origin,
		Client: addrText(peerAddr(ex.r)), RequestID: ex.r.Header.Get("X-Request-Id"),
	})
}

// name is the name of the copy that would answer, for the log; empty where the route names none.
func (ex *exchange) name() string {
	if ex.match.Route == nil || ex.route.Key.Zero() {
		return ""
	}
	name, _ := ex.route.Key.Render(policy.Values{Match: &ex.match, Header: ex.r.Header, Target: ex.target, Query: ex.query})
	return name
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// asked counts a request to the origin.
func (r *route) asked(why policy.Reason, took time.Duration) {
	r.upstream.Request(r.Name, why)
	r.upstream.Answered(took)
}
