package policy

import (
	"iter"
	"mime"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"cacheproxy/policy/httpcache"
)

// maxGraphQLTokens bounds the work on one GraphQL document.
const maxGraphQLTokens = 10_000

// graphQLMembers are the members of a GraphQL request (GraphQL over HTTP, §5.3.2). Another member may select another
// document than the one in query.
var graphQLMembers = map[string]bool{"query": true, "operationName": true, "variables": true, "extensions": true}

// asksGraphQL reports whether content is a GraphQL request in JSON whose document has queries and no other operation,
// whichever of them the request selects.
func asksGraphQL(h http.Header, content []byte) bool {
	mediaType, parameters, err := mime.ParseMediaType(httpcache.Combined(h["Content-Type"]))
	charset := parameters["charset"]
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") || len(h["Content-Encoding"]) > 0 {
		return false
	}
	doc, err := parseDocument(content)
	if err != nil || !doc.root.IsObject() {
		return false
	}
	text, known := "", true
	doc.root.ForEach(func(name, value gjson.Result) bool {
		known = known && graphQLMembers[name.String()]
		if name.String() == "query" && value.Type == gjson.String {
			text = value.String()
		}
		return true
	})
	return known && onlyQueries(text)
}

// onlyQueries reports whether a GraphQL document has queries and no other operation, so that any selection is a query.
func onlyQueries(text string) bool {
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxGraphQLTokens)
	if err != nil || len(parsed.Operations) == 0 {
		return false
	}
	for _, o := range parsed.Operations {
		if o.Operation != ast.Query {
			return false
		}
	}
	return true
}

// operates reports whether a request with a safe method may be a write where the API speaks GraphQL: because its URL
// has a document that is malformed or has other operations than queries, or because the request has content. GraphQL
// over HTTP §6.2.1 has servers refuse a mutation by GET, but some do not. A request that names a document without
// containing it counts by its method.
func operates(a Asked) bool {
	if a.Method != query && a.hasContent() {
		return true
	}
	for piece := range pieces(a.Target.Query) {
		if !httpcache.HasName(httpcache.PieceName(piece), "query", false) {
			continue
		}
		for text := range httpcache.QueryValues(piece, "query") {
			if !onlyQueries(text) {
				return true
			}
		}
	}
	return false
}

// namesOperation reports whether a query has a parameter that is a member of a GraphQL request.
func namesOperation(query string) bool {
	for piece := range pieces(query) {
		for name := range graphQLMembers {
			if httpcache.HasName(httpcache.PieceName(piece), name, false) {
				return true
			}
		}
	}
	return false
}

// pieces are the parameters of a query at every cut that some server makes: some servers take a semicolon for an
// ampersand (HTML 4.01 §B.2.2).
func pieces(query string) iter.Seq[string] {
	return strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' })
}
