package admin

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Plugins for other caches say what to purge, or how, in fields of their own. Ignoring such a field turns "purge these
// tags" into "purge this path", with a receipt and unnoticed. The names of such fields cannot be foreseen. The lists
// below therefore have the fields that cannot be part of a purge: caller, way, trace, form of the answer. A purge call
// with any other field is refused, and the answer names the field.

// neutralFields mean nothing to a purge, whatever their value; in lower case.
var neutralFields = wordSet(`
	host connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings expect alt-used early-data
	content-length content-type date via forwarded x-forwarded cdn-loop priority surrogate-capability cache-control pragma
	accept save-data dnt upgrade-insecure-requests x-requested-with idempotency-key

	authorization proxy-authorization cookie origin referer from user-agent x-api-key x-csrf-token
	x-real-ip x-client-ip x-cluster-client-ip x-original-forwarded-for x-originating-ip x-remote-ip x-remote-addr
	x-proxyuser-ip true-client-ip client-ip fastly-client-ip wl-proxy-client-ip
	x-scheme x-original-proto front-end-https fastly-ssl fastly-ff x-varnish akamai-origin-hop

	traceparent tracestate baggage b3 request-id x-request-id correlation-id x-correlation-id correlation-context
	x-trace-id x-span-id x-transaction-id x-client-trace-id x-request-start x-queue-start x-cloud-trace-context x-amz-cf-id
	uber-trace-id sentry-trace newrelic elastic-apm-traceparent x-ot-span-context grpc-trace-bin sw8
`)

// neutralFamilies are the beginnings of fields that proxies, meshes, clouds and tracers add by themselves. None
// contains a word that these use for purging.
var neutralFamilies = []string{
	"accept-", "sec-",
	"x-forwarded-", "x-auth-request-", "x-goog-authenticated-user-", "x-goog-iap-", "x-consumer-",
	"x-b3-", "x-datadog-", "x-newrelic-", "x-instana-", "x-dynatrace", "uberctx-", "jaeger-", "ot-tracer-", "sw8-",
	"x-envoy-", "x-istio-", "l5d-", "x-amzn-", "x-azure-", "x-appgw-", "x-appengine-", "x-arr-", "x-fd-",
	"cf-", "cloudfront-", "x-akamai-", "x-vercel-", "fly-",
}

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

// foldName gives the spellings of a field's name one form. Servers that pass fields on as variables write '_' for '-',
// so that senders treat both as one name.
func foldName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "-")) }

// isNeutral reports whether a field of this name means nothing to a purge.
func isNeutral(name string) bool {
	name = foldName(name)
	return neutralFields[name] || slices.ContainsFunc(neutralFamilies, func(family string) bool { return strings.HasPrefix(name, family) })
}

// checkFields refuses a purge call with a field that is neither neutral nor in own. The error does not show values,
// since some are secrets.
func checkFields(fields http.Header, own map[string]bool) error {
	const shown = 8
	var foreign, instead []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if isNeutral(name) || own[foldName(name)] {
			continue
		}
		foreign = append(foreign, strconv.Quote(shorten(name)))
		if say := insteadOfField(name); !slices.Contains(instead, say) {
			instead = append(instead, say)
		}
	}
	switch n := len(foreign); {
	case n == 0:
		return nil
	case n > shown:
		foreign = append(foreign[:shown], fmt.Sprintf("%d more", n-shown))
	}
	return fmt.Errorf("a purge does not understand header %s, and so is not carried out: %s", strings.Join(foreign, ", "), strings.Join(instead, "; "))
}

// readPurge reads the content of a purge call, and refuses a call with a part that would be ignored.
func readPurge(w http.ResponseWriter, r *request, own map[string]bool) ([]byte, error) {
	if r.bySecret && len(r.Header.Values("Fastly-Key")) == 1 {
		own = maps.Clone(own) // the field was understood as the secret
		if own == nil {
			own = map[string]bool{}
		}
		own["fastly-key"] = true
	}
	if err := checkFields(r.Header, own); err != nil {
		return nil, badRequest(err)
	}
	// In HTTP/2 a Host field may accompany :authority, which wins (RFC 9113 §8.3.1).
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return nil, problemf(http.StatusBadRequest, "the authority is %q, and the field Host says otherwise", shorten(r.Host))
		}
	}
	takesBody := r.Method == http.MethodPost
	if takesBody {
		if err := checkJSONType(r.Header["Content-Type"]); err != nil {
			return nil, badRequest(err)
		}
	} else if r.ContentLength > 0 {
		return nil, bodyNotTaken(r)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, err
	case err != nil:
		return nil, badRequest(fmt.Errorf("read body: %w", err))
	case len(body) > 0 && !takesBody:
		return nil, bodyNotTaken(r)
	}
	// Trailers are complete only after the end of the body.
	if err := checkFields(r.Trailer, nil); err != nil {
		return nil, badRequest(err)
	}
	return body, nil
}

func bodyNotTaken(r *request) error {
	return problemf(http.StatusBadRequest, "%s takes no body: send what is in it as POST /purge with {\"tags\":[…],\"urls\":[…],\"prefixes\":[…],\"soft\":true}", r.Method)
}

// checkJSONType refuses content that claims another type than JSON. The default type of curl -d is accepted: no form is
// a JSON object, so that reading a real form fails at once.
func checkJSONType(values []string) error {
	if len(values) == 0 {
		return nil
	}
	kind, parameters, err := mime.ParseMediaType(values[0])
	charset := strings.ToLower(parameters["charset"])
	switch {
	case len(values) > 1, err != nil:
	case charset != "" && charset != "utf-8" && charset != "us-ascii":
	case kind == "application/json", kind == "text/json", strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"),
		kind == "application/x-www-form-urlencoded":
		return nil
	}
	return fmt.Errorf("Content-Type is %q: send one JSON object in UTF-8 as application/json", shorten(strings.Join(values, ", ")))
}
