package postgres

import (
	"strconv"
	"strings"
)

// identifier is a name as SQL has it, whatever is in it.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// qualified is a name in a schema.
func qualified(schema, name string) string { return identifier(schema) + "." + identifier(name) }

// literal is a text as SQL has it. One with a backslash is written so that standard_conforming_strings, which is that of the session in
// which a function is first called, does not change it.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// dollars quotes the body of a function, in signs that are not in it.
func dollars(body string) string {
	sign := "$cacheproxy$"
	for i := 1; strings.Contains(body, sign); i++ {
		sign = "$cacheproxy" + strconv.Itoa(i) + "$"
	}
	return sign + body + sign
}

// joined is f of each element, with separators.
func joined[T any](list []T, separator string, f func(T) string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = f(s)
	}
	return strings.Join(parts, separator)
}
