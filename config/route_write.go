package config

import (
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
)

// writes compiles what a write does to copies.
func (c *routeCompiler) writes(timeout time.Duration) {
	r := c.route
	r.OnWrite, r.FailedWrite = read[policy.OnWrite](c.doc, "on_write"), read[policy.FailedWrite](c.doc, "failed_writes")
	if c.wrote("store_down") {
		r.RefusesWrites = read[storeDown](c.doc, "store_down") == storeDownReject
	}
	if r.RefusesWrites {
		c.doc.setInForce("store_down", storeDownReject)
	}
	c.onWrite(c.key("on_write"))
	c.doc.setInForce("on_write", r.OnWrite)
	// A fence must outlast a write whose outcome is unknown, which the origin may still carry out after its timeout.
	r.FenceHold = c.durationOr(c.doc, "fence_hold", 2*timeout)
	if c.wrote("invalidates") {
		r.Invalidates = c.invalidates(c.doc.section("invalidates"))
	}
}

// onWrite refuses what has no effect, and warns where answers to writes cannot be kept: without a fence around a write, they
// are kept by RFC 9110 §9.3.3 alone, where nothing was configured, and nowhere else. That is no error, since a route without
// the copy does all that it promises.
func (c *routeCompiler) onWrite(at string) {
	kind, stores := c.route.Policy, c.route.OnWrite == policy.OnWriteStore
	switch {
	case !c.has(at) || c.at(at).source != "" || !c.has(c.key("policy")):
	case !c.route.Caches:
		c.problem(at, "has no effect with policy: %s; remove it, or use policy: %s", kind, policy.WriteThrough)
	case stores && !c.route.FencesWrites:
		c.warn(at, "store keeps nothing with policy: %s, which has no fence around writes; write on_write: invalidate, or use policy: %s", kind, policy.WriteThrough)
		c.route.OnWrite = policy.OnWriteInvalidate
	case stores && c.route.Host.Literal != "":
		c.warn(at, "store keeps nothing where the upstream's host is not the client's: writes tell the upstream of a Host that is not part of the storage key; use host: pass")
	}
}

func (c *routeCompiler) invalidates(doc *Part) *policy.Invalidates {
	at, inv := doc.path, c.targets(doc)
	templates := slices.Concat(inv.Keys, inv.Tags, inv.URLs, inv.Prefixes)
	usesBody := slices.ContainsFunc(templates, policy.Template.UsesBody)
	mayMiss := slices.ContainsFunc(templates, func(t policy.Template) bool { return !dependable(t) })
	other := join(at, "otherwise")
	switch wrote := c.has(other); {
	case wrote && !mayMiss && c.spoiledBelow(at):
	case wrote && !mayMiss:
		c.problem(other, "has no effect: no template of invalidates names {body...}, {query...}, {header...} or {cookie...}; remove it")
	case wrote:
		inv.Otherwise = c.targets(doc.section("otherwise"))
		for _, t := range slices.Concat(inv.Otherwise.Keys, inv.Otherwise.Tags, inv.Otherwise.URLs, inv.Otherwise.Prefixes) {
			if !dependable(t) {
				c.problem(other, "%s may be as impossible to fill in as what it stands in for; name routes, tags or prefixes, with wildcards at most", quote(t.String()))
			}
		}
	case c.spoiled(other):
	case usesBody:
		c.problem(at, "names {body...} and needs otherwise, for a body that cannot be read; write otherwise: {routes: [name]}")
	case mayMiss:
		c.warn(at, "a write without the parameter, header or cookie that is named here leaves what it stands for as it is; write otherwise: {routes: [name]}")
	}
	return inv
}

// targets compiles one list of what a write makes unusable.
func (c *routeCompiler) targets(doc *Part) *policy.Invalidates {
	inv := &policy.Invalidates{
		Keys:     c.targetTemplates(doc, "keys", anyForm),
		Tags:     c.targetTemplates(doc, "tags", anyForm),
		URLs:     c.targetTemplates(doc, "urls", urlForm),
		Prefixes: c.targetTemplates(doc, "prefixes", prefixForm),
		Routes:   c.targetRoutes(doc),
	}
	if doc.there = true; len(doc.view()) == 0 && !c.spoiledBelow(doc.path) {
		c.problem(doc.path, "names nothing; write keys:, tags:, urls:, prefixes: or routes:, or remove it")
	}
	return inv
}

// spoiledBelow reports whether something inside the section was refused, so that it only seems to be empty.
func (c *routeCompiler) spoiledBelow(path string) bool {
	for at, p := range c.places {
		if p.spoiled && strings.HasPrefix(at, path) {
			return true
		}
	}
	return false
}

func (c *routeCompiler) targetTemplates(doc *Part, name string, wrong func(string) string) (templates []policy.Template) {
	for i, text := range doc.list(name) {
		at := index(doc.at(name), i)
		if fault := wrong(text); fault != "" && !c.spoiled(at) {
			c.spoil(at, "%s %s", quote(text), fault)
		}
		if t, ok := c.template(at, text); ok {
			templates = append(templates, t)
		}
	}
	return templates
}

// targetRoutes checks that routes exist and keep copies.
func (c *routeCompiler) targetRoutes(doc *Part) []string {
	list := doc.list("routes")
	for i, name := range list {
		at := index(doc.at("routes"), i)
		found := slices.IndexFunc(c.docs, func(d *Part) bool { return d.text("name") == name })
		switch {
		case c.spoiled(at):
		case found < 0:
			c.problem(at, "%s is not a route%s", quote(name), c.routeHint(name))
		case !preset(read[policy.Kind](c.docs[found], "policy")).Caches && c.has(c.docs[found].at("policy")):
			c.problem(at, "%s is a bypass route and never has copies; remove it", quote(name))
		}
	}
	return list
}

func (c *routeCompiler) routeHint(name string) string {
	var known []string
	for _, d := range c.docs {
		known = append(known, d.text("name"))
	}
	if near := nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; write the name of one"
}
