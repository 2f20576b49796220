package config

import (
	"slices"
	"strings"

	"cacheproxy/policy"
)

// templates compiles the names under which the route's copies are purged.
func (c *routeCompiler) templates() {
	if c.wrote("key") {
		c.route.Key, _ = c.copyTemplate(c.key("key"), c.doc.text("key"))
	}
	for i, text := range c.doc.list("tags") {
		if t, ok := c.copyTemplate(index(c.key("tags"), i), text); ok {
			c.route.Tags = append(c.route.Tags, t)
		}
	}
	slices.Sort(c.route.Headers)
	slices.Sort(c.route.Cookies)
	c.doc.setInForce("headers", c.route.Headers)
	c.doc.setInForce("cookies", c.route.Cookies)
	if len(c.route.Headers) > maxKeyed || len(c.route.Cookies) > maxKeyed {
		c.problem(c.path, "keys more than %d headers or cookies; name fewer", maxKeyed)
	}
}

// copyTemplate parses a template that is rendered when a copy is read or stored. What it names must be part of the
// storage key, or two requests could share a copy that has the name of only one of them.
func (c *routeCompiler) copyTemplate(path, text string) (policy.Template, bool) {
	t, ok := c.template(path, text)
	if !ok {
		return t, false
	}
	for _, p := range t.Placeholders() {
		switch p.Kind {
		case policy.FromHeader:
			c.route.Headers = declare(c.route.Headers, p.Name)
		case policy.FromCookie:
			c.route.Cookies = declare(c.route.Cookies, p.Name)
		case policy.FromQuery:
			if !keyed(c.route.Query, p.Name) {
				c.problem(path, "names {query.%s}, which the query rule does not keep; add %s to query.include", p.Name, p.Name)
			}
		case policy.FromHost:
			if c.route.Host.Literal != "" {
				c.problem(path, "names {host}, but copies of this upstream are shared by all hosts; remove {host}, or write host: pass in the upstream")
			}
		case policy.FromBody:
			c.problem(path, "names {body.%s}, which only invalidates can use; name a wildcard, query parameter, header or cookie", p.Name)
		}
	}
	return t, true
}

// declare adds a name to what is keyed.
func declare(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// template parses any template. Every pattern of the route must have the wildcards that it names.
func (c *routeCompiler) template(path, text string) (policy.Template, bool) {
	if c.spoiled(path) {
		return policy.Template{}, false
	}
	if text == "" {
		c.problem(path, "is empty; write a name such as v1:product:{id}, or remove it")
		return policy.Template{}, false
	}
	t, err := policy.ParseTemplate(text)
	if err != nil {
		c.problem(path, "%w", err)
		return policy.Template{}, false
	}
	for _, placeholder := range t.Placeholders() {
		lacks := func(p policy.Pattern) bool { return !slices.Contains(p.Wildcards(), placeholder.Name) }
		if placeholder.Kind != policy.FromWildcard {
			continue
		}
		if i := slices.IndexFunc(c.route.Patterns, lacks); i >= 0 {
			c.problem(path, "names {%s}, a wildcard that the pattern %s does not have; %s", placeholder.Name,
				quote(c.route.Patterns[i].String()), c.wildcardHint())
		}
	}
	return t, true
}

// dependable reports whether every value that the template names is there in every request of the route.
func dependable(t policy.Template) bool {
	return !slices.ContainsFunc(t.Placeholders(), func(p policy.Placeholder) bool {
		return p.Kind != policy.FromWildcard && p.Kind != policy.FromHost
	})
}

// anyForm accepts every text of a template.
func anyForm(string) string { return "" }

// urlForm says what is wrong with the text of a template for a URL or prefix.
func urlForm(text string) string {
	for _, beginning := range []string{"/", "http://", "https://"} {
		if strings.HasPrefix(text, beginning) {
			return ""
		}
	}
	return "is neither a path nor a URL; begin it with / or http://"
}

// prefixForm is urlForm for a prefix, which covers every query by itself.
func prefixForm(text string) string {
	if strings.Contains(text, "?") {
		return "has a query, but a prefix ends at a path segment; write the path only, or use urls:"
	}
	return urlForm(text)
}
