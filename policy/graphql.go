package policy

import (
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

// graphQLMembers are the members of a GraphQL request (GraphQL over HTTP, §5.3.2). Others may select another document than
// the one that is read here.
var graphQLMembers = map[string]bool{"query": true, "operationName": true, "variables": true, "extensions": true}

// asksGraphQL reports whether content is a GraphQL request in JSON whose document has queries and no other operation,
// whichever of them is meant.
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
	if !known || text == "" {
		return false
	}
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
