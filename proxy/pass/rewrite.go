package pass

import (
	"net/http/httputil"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// rewrite makes the outgoing request from the incoming one. It starts from the client's header again, since ReverseProxy has removed every field that
// the client's Connection names, and uses the target in o, since ReverseProxy has cleaned the query. upgrade is the result of upgradeWish.
func rewrite(pr *httputil.ProxyRequest, pw *writer, upgrade string, o Options) {
	out, in := pr.Out, pw.request // pr.In is a copy of in, which misses the trailer that comes with the end of in's body
	trailers := out.Header["Te"]  // ReverseProxy leaves "trailers" or nothing
	out.Header = in.Header.Clone()
	httpcache.RemoveHopByHop(out.Header)
	if trailers != nil {
		out.Header["Te"] = trailers
	}
	if upgrade != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", upgrade)
	}
	httpcache.Forward(out.Header, server.PeerAddr(in), o.Target.Scheme, o.Target.Host, o.Trusted)
	httpcache.AppendVia(out.Header, in.ProtoMajor, in.ProtoMinor)

	out.Host = o.Upstream.Host(o.Target.Host)
	upstream.SetTarget(out, o.Upstream.URL(), o.Target)
	if out.Body != nil {
		out.Body = newBody(pw, in, out, o.Trailer)
	}
}
