package config

import (
	"maps"
	"net/http"
	"slices"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"

	"golang.org/x/net/http/httpguts"
)

// unsettable are response fields that no route may set or remove, with the reason and the remedy. Hop-by-hop fields are
// refused too.
var unsettable = map[string]string{
	"Content-Length": framed, "Content-Range": framed, "Content-Encoding": framed, "Content-Type": framed, "Accept-Ranges": framed, "Trailer": framed,
	"Etag": compares, "Last-Modified": compares, "Vary": compares,
	"Age": own, "Date": own, "Via": own, "X-Request-Id": own, "Cache-Status": "is this proxy's own word; see cache_status",
	"Set-Cookie":    "is for one client; write strip_set_cookie: true, or mend the API",
	"Surrogate-Key": "is for this cache, and taken off in any case; remove it", "Xkey": "is for this cache, and taken off in any case; remove it",
}

const (
	framed   = "says how the content is framed or coded; remove it"
	compares = "is what caches and conditions compare answers by; remove it"
	own      = "is this proxy's own word; remove it"
)

// compileResponse compiles the response fields that the route sets or removes.
func compileResponse(doc *part, r *policy.Route) {
	if !doc.has("") {
		return
	}
	doc.there = true
	usable := func(at, name string) bool {
		why := unsettable[name]
		if httpcache.IsHopByHop(name) {
			why = "is for one connection; remove it"
		}
		if why != "" {
			doc.problem(at, "%s %s", name, why)
		}
		return why == ""
	}
	set := read[map[string]string](doc, "set")
	for _, name := range slices.Sorted(maps.Keys(set)) {
		at, canonical, value := join("set", name), http.CanonicalHeaderKey(name), set[name]
		_, err := aHeader.parse(name)
		switch {
		case doc.spoiled(at):
		case err != nil:
			doc.problem(at, "%s %w", quote(name), err)
		case value == "" || value != httpcache.TrimOWS(value) || !httpguts.ValidHeaderFieldValue(value):
			doc.problem(at, "%s is not the value of a header; write one such as no-cache, or the name under remove", quote(value))
		case r.SetFields[canonical] != nil:
			doc.problem(at, "%s is there twice; remove one", canonical)
		case usable(at, canonical):
			if r.SetFields == nil {
				r.SetFields = http.Header{}
			}
			r.SetFields[canonical] = []string{value}
		}
	}
	for at, name := range doc.entries("remove") {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case r.SetFields[canonical] != nil:
			doc.problem(at, "%s is set; remove it here or there", canonical)
		case usable(at, canonical):
			r.RemoveFields = declare(r.RemoveFields, canonical)
		}
	}
	slices.Sort(r.RemoveFields)
	doc.setInForce("remove", r.RemoveFields)
	if len(set) == 0 && len(r.RemoveFields) == 0 && !doc.report.spoiledBelow(doc.path+".") {
		doc.problem("", "changes nothing; write set: or remove:, or remove it")
	}
	warnOfKept(doc, r)
}

// warnOfKept warns where clients may keep answers that the origin has not allowed them to keep.
func warnOfKept(doc *part, r *policy.Route) {
	const kept = "every answer of this route that the origin has not marked private or no-store, and no purge reaches what they keep; write no-cache, unless anybody may keep all of them"
	lines := r.SetFields["Cache-Control"]
	switch d := httpcache.ParseDirectives(lines); {
	case slices.Contains(r.RemoveFields, "Cache-Control"):
		doc.warn("remove", "leaves it to clients and caches behind this one how long to keep %s", kept)
	case len(lines) > 0 && !d.NoStore && !d.NoCache && !d.Private:
		doc.warn(join("set", "Cache-Control"), "lets clients and caches behind this one keep %s", kept)
	}
}
