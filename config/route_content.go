package config

import (
	"net/http"
	"slices"

	"cacheproxy/policy"
)

// maxContent bounds what a file may ask for: the content is held in memory while its answer is fetched.
const maxContent = 1 << 20

// content compiles which requests with content are reads.
func (c *routeCompiler) content() {
	if !c.wrote("content") || c.spoiled(c.key("content")) {
		return
	}
	doc, at := c.doc.section("content"), c.key("content")
	rule := policy.ContentReads{Max: doc.bytes("max"), GraphQL: doc.flag("graphql")}
	if most := doc.at("max"); c.has(most) && (rule.Max < 1 || rule.Max > maxContent) {
		c.problem(most, "is not between 1B and 1MiB; write 64KiB, the default")
	}
	doc.there = true
	c.route.Content = rule
	posts := c.names(http.MethodPost)
	switch {
	case c.spoiled(c.key("match")):
	case !posts && !c.names("QUERY"):
		c.problem(at, "has no effect: no pattern of this route names QUERY or POST; add one to match, such as QUERY /search, or remove it")
	case rule.GraphQL && !posts:
		c.problem(join(at, "graphql"), "has no effect: no pattern of this route names POST; add one to match, such as POST /graphql, or remove it")
	case posts && !rule.GraphQL:
		c.warn(at, "every POST of this route is taken for a read, and may be answered from a copy; be sure that none changes anything, or write graphql: true where it is GraphQL")
	}
}

// names reports whether a pattern of the route names the method.
func (c *routeCompiler) names(method string) bool {
	return slices.ContainsFunc(c.route.Patterns, func(p policy.Pattern) bool { return p.Method() == method })
}
