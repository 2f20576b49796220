package config

import (
	"slices"
	"strings"

	"cacheproxy/policy"
)

// writes compiles what a write does to copies.
func (c *routeCompiler) writes() {
	c.route.OnWrite, c.route.FailedWrite = c.doc.OnWrite, c.doc.FailedWrite
	if c.wrote("store_down") {
		c.route.RefusesWrites = c.doc.StoreDown == storeDownReject
	}
	c.onWrite(c.key("on_write"))
	c.route.FenceHold = c.positive(c.key("fence_hold"), c.doc.FenceHold, c.route.FenceHold)
	if c.wrote("invalidates") {
		c.route.Invalidates = c.invalidates(c.key("invalidates"))
	}
}

// onWrite refuses what has no effect, and warns where answers to writes cannot be kept: without a fence around a write, they
// are kept by RFC 9110 §9.3.3 alone, where nothing was configured, and nowhere else. That is no error, since a route without
// the copy does all that it promises.
func (c *routeCompiler) onWrite(at string) {
	kind, stores := c.route.Policy, c.doc.OnWrite == policy.OnWriteStore
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

func (c *routeCompiler) invalidates(at string) *policy.Invalidates {
	inv := c.targets(at, &c.doc.Invalidates.targetsDoc)
	templates := slices.Concat(inv.Keys, inv.Tags, inv.URLs, inv.Prefixes)
	usesBody := slices.ContainsFunc(templates, policy.Template.UsesBody)
	mayMiss := slices.ContainsFunc(templates, func(t policy.Template) bool { return !dependable(t) })
	other := join(at, "otherwise")
	switch wrote := c.has(other); {
	case wrote && !mayMiss && c.spoiledBelow(at):
	case wrote && !mayMiss:
		c.problem(other, "has no effect: no template of invalidates names {body...}, {query...}, {header...} or {cookie...}; remove it")
	case wrote:
		inv.Otherwise = c.targets(other, &c.doc.Invalidates.Otherwise)
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
func (c *routeCompiler) targets(path string, doc *targetsDoc) *policy.Invalidates {
	inv := &policy.Invalidates{
		Keys:     c.targetTemplates(join(path, "keys"), doc.Keys, anyForm),
		Tags:     c.targetTemplates(join(path, "tags"), doc.Tags, anyForm),
		URLs:     c.targetTemplates(join(path, "urls"), doc.URLs, urlForm),
		Prefixes: c.targetTemplates(join(path, "prefixes"), doc.Prefixes, prefixForm),
		Routes:   c.targetRoutes(join(path, "routes"), doc.Routes),
	}
	if len(doc.Keys)+len(doc.Tags)+len(doc.URLs)+len(doc.Prefixes)+len(doc.Routes) == 0 && !c.spoiledBelow(path) {
		c.problem(path, "names nothing; write keys:, tags:, urls:, prefixes: or routes:, or remove it")
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

func (c *routeCompiler) targetTemplates(path string, list texts, wrong func(string) string) (templates []policy.Template) {
	for i, text := range list {
		at := index(path, i)
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
func (c *routeCompiler) targetRoutes(path string, list texts) []string {
	for i, name := range list {
		at := index(path, i)
		found := slices.IndexFunc(c.docs, func(d routeDoc) bool { return d.Name == name })
		switch {
		case c.spoiled(at):
		case found < 0:
			c.problem(at, "%s is not a route%s", quote(name), c.routeHint(name))
		case !presetOf(c.docs[found].Policy).Caches && c.has(index("routes", found)+".policy"):
			c.problem(at, "%s is a bypass route and never has copies; remove it", quote(name))
		}
	}
	return list
}

func (c *routeCompiler) routeHint(name string) string {
	var known []string
	for _, d := range c.docs {
		known = append(known, d.Name)
	}
	if near := nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; write the name of one"
}
