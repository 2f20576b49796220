package config

import (
	"slices"
	"time"

	"cacheproxy/policy"
)

// compileWrites compiles what a write does to copies.
func compileWrites(doc *part, r *policy.Route, all []*part, timeout time.Duration) {
	r.FailedWrite, r.OnWrite = read[policy.FailedWrite](doc, "failed_writes"), compileOnWrite(doc, r)
	if doc.has("store_down") {
		r.RefusesWrites = doc.flag("store_down")
	}
	if r.SerializesWrites = doc.flag("serialize_writes"); r.SerializesWrites && !doc.has("store_down") {
		r.RefusesWrites = true // without the store, two instances could write at once
	}
	doc.setInForce("store_down", r.RefusesWrites)
	// A fence must outlast a write whose outcome is unknown: the origin may still carry out the write after its
	// timeout.
	r.FenceHold = durationOr(doc, "fence_hold", 2*timeout)
	if doc.has("invalidates") {
		section := doc.Part("invalidates")
		if r.Invalidates = compileInvalidates(section, r, all); r.Invalidates.Nothing {
			compileNothing(doc, section, r)
		}
	}
}

// compileOnWrite refuses on_write where it has no effect, and warns where answers to writes cannot be kept. Without a
// fence around writes, an answer is kept only by RFC 9110 §9.3.3, and only where nothing was configured. The warning is
// no error, since a route without that copy keeps all its promises.
func compileOnWrite(doc *part, r *policy.Route) policy.OnWrite {
	rule := read[policy.OnWrite](doc, "on_write")
	stores := rule == policy.OnWriteStore
	switch {
	case !doc.has("on_write") || doc.report.at(doc.at("on_write")).source != "" || !r.Caches:
	case stores && !r.FencesWrites:
		doc.warn("on_write", "store keeps nothing with policy: %s, which has no fence around writes; write on_write: invalidate, or use policy: %s", r.Policy, policy.WriteThrough)
		rule = policy.OnWriteInvalidate
	case stores && r.Host.Literal != "":
		doc.warn("on_write", "store keeps nothing where the upstream's host is not the client's: writes tell the upstream of a Host that is not part of the storage key; use host: pass")
	}
	doc.setInForce("on_write", rule)
	return rule
}

func compileInvalidates(doc *part, r *policy.Route, all []*part) *policy.Invalidates {
	if doc.flag("nothing") {
		doc.there = true
		return &policy.Invalidates{Nothing: true}
	}
	inv, templates := compileTargets(doc, r, all)
	for _, t := range templates {
		switch {
		case t.UsesResponse() && t.UsesBody():
			doc.problem("", "names {body...} and {response...} in %s, of which each may be there without the other; write a template for each", quote(t.String()))
		case t.UsesResponse() && r.Policy == policy.WriteBehind:
			doc.problem("", "names {response...}, which has no effect with policy: %s, whose answers are not the upstream's; name what the request has, or use policy: %s", r.Policy, policy.WriteThrough)
		}
	}
	mayMiss := slices.ContainsFunc(templates, undependable)
	switch wrote := doc.has("otherwise"); {
	case wrote && !mayMiss:
		if !doc.report.spoiledBelow(doc.path) {
			doc.problem("otherwise", "has no effect: no template of invalidates names {body...}, {response...}, {query...}, {header...} or {cookie...}; remove it")
		}
	case wrote:
		inv.Otherwise, templates = compileTargets(doc.Part("otherwise"), r, all)
		for _, t := range templates {
			if undependable(t) {
				doc.problem("otherwise", "%s may be as impossible to fill in as what it stands in for; name routes, tags or prefixes, with wildcards at most", quote(t.String()))
			}
		}
	case doc.spoiled("otherwise"):
	case slices.ContainsFunc(templates, policy.Template.UsesResponse):
		doc.problem("", "names {response...} and needs otherwise, for an answer that cannot be read, or never comes; write otherwise: {routes: [name]}")
	case slices.ContainsFunc(templates, policy.Template.UsesBody):
		doc.problem("", "names {body...} and needs otherwise, for a body that cannot be read; write otherwise: {routes: [name]}")
	case mayMiss:
		doc.warn("", "a write without the parameter, header or cookie that is named here leaves what it stands for as it is; write otherwise: {routes: [name]}")
	}
	return inv
}

// compileTargets compiles one list of names that a write invalidates, and returns all templates in the list.
func compileTargets(doc *part, r *policy.Route, all []*part) (*policy.Invalidates, []policy.Template) {
	templates := func(name string) (list []policy.Template) {
		for at, text := range doc.entries(name) {
			if t, ok := compileTemplate(doc, r, at, text); ok {
				list = append(list, t)
			}
		}
		return list
	}
	inv := &policy.Invalidates{Keys: templates("keys"), Tags: templates("tags"), URLs: templates("urls"), Prefixes: templates("prefixes"), Routes: doc.list("routes")}
	for at, name := range doc.entries("routes") {
		i := slices.IndexFunc(all, func(route *part) bool { return route.text("name") == name })
		switch {
		case i < 0:
			doc.problem(at, "%s is not a route%s", quote(name), routeHint(name, all))
		case all[i].has("policy") && !preset(read[policy.Kind](all[i], "policy")).Caches:
			doc.problem(at, "%s is a bypass route and never has copies; remove it", quote(name))
		}
	}
	if doc.there = true; len(doc.view()) == 0 && !doc.report.spoiledBelow(doc.path) {
		doc.problem("", "names nothing; write keys:, tags:, urls:, prefixes: or routes:, or remove it")
	}
	return inv, slices.Concat(inv.Keys, inv.Tags, inv.URLs, inv.Prefixes)
}

func routeHint(name string, all []*part) string {
	var known []string
	for _, route := range all {
		known = append(known, route.text("name"))
	}
	if near := nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; write the name of one"
}
