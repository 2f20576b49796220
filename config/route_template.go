package config

import (
	"slices"

	"cacheproxy/policy"
)

// compileNames compiles the names that purge the route's copies. The values in names become part of the storage key.
func compileNames(doc *part, r *policy.Route) {
	if doc.has("key") {
		r.Key, _ = copyTemplate(doc, r, "key", doc.text("key"))
	}
	for at, text := range doc.entries("tags") {
		if t, ok := copyTemplate(doc, r, at, text); ok {
			r.Tags = append(r.Tags, t)
		}
	}
	slices.Sort(r.Headers)
	slices.Sort(r.Cookies)
	doc.setInForce("headers", r.Headers)
	doc.setInForce("cookies", r.Cookies)
	if len(r.Headers) > maxKeyed || len(r.Cookies) > maxKeyed {
		doc.problem("", "keys more than %d headers or cookies; name fewer", maxKeyed)
	}
}

// copyTemplate parses a template that is rendered when a copy is read or stored. Every value in the template must be
// part of the storage key. Otherwise two requests could share a copy that has the name of only one of them.
func copyTemplate(doc *part, r *policy.Route, at, text string) (policy.Template, bool) {
	t, ok := compileTemplate(doc, r, at, text)
	for _, p := range t.Placeholders() {
		switch p.Kind {
		case policy.FromHeader:
			r.Headers = declare(r.Headers, p.Name)
		case policy.FromCookie:
			r.Cookies = declare(r.Cookies, p.Name)
		case policy.FromQuery:
			if !keyed(r.Query, p.Name) {
				doc.problem(at, "names {query.%s}, which the query rule does not keep; add %s to query.include", p.Name, p.Name)
			}
		case policy.FromHost:
			if r.Host.Literal != "" {
				doc.problem(at, "names {host}, but copies of this upstream are shared by all hosts; remove {host}, or write host: pass in the upstream")
			}
		case policy.FromBody, policy.FromResponse:
			doc.problem(at, "names {%s.%s}, which only invalidates can use; name a wildcard, query parameter, header or cookie", sourceOf(p), p.Name)
		}
	}
	return t, ok
}

// sourceOf is the word for a body in a template.
func sourceOf(p policy.Placeholder) string {
	if p.Kind == policy.FromResponse {
		return "response"
	}
	return "body"
}

// declare adds a name to the keyed names.
func declare(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// compileTemplate parses any template. Every pattern of the route must have the wildcards that the template names.
func compileTemplate(doc *part, r *policy.Route, at, text string) (t policy.Template, ok bool) {
	if text == "" {
		doc.problem(at, "is empty; write a name such as v1:product:{id}, or remove it")
		return t, false
	}
	t, err := policy.ParseTemplate(text)
	if err != nil {
		doc.problem(at, "%w", err)
		return policy.Template{}, false
	}
	for _, placeholder := range t.Placeholders() {
		lacks := func(p policy.Pattern) bool { return !slices.Contains(p.Wildcards(), placeholder.Name) }
		if i := slices.IndexFunc(r.Patterns, lacks); i >= 0 && placeholder.Kind == policy.FromWildcard {
			doc.problem(at, "names {%s}, a wildcard that the pattern %s does not have; %s", placeholder.Name, quote(r.Patterns[i].String()), wildcardHint(r))
		}
	}
	return t, true
}

// undependable reports whether a request of the route may lack a value that the template names.
func undependable(t policy.Template) bool {
	return slices.ContainsFunc(t.Placeholders(), func(p policy.Placeholder) bool {
		return p.Kind != policy.FromWildcard && p.Kind != policy.FromHost
	})
}
