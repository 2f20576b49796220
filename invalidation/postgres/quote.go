package postgres

import (
	"strconv"
	"strings"
)

// identifier quotes a name as SQL, whatever characters the name has.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// qualified quotes a name in a schema.
func qualified(schema, name string) string { return identifier(schema) + "." + identifier(name) }

// literal quotes a text as SQL. A text with a backslash gets an E prefix: the meaning of a plain literal would depend
// on standard_conforming_strings in the session that first calls a function.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// dollars quotes the body of a function, between signs that do not occur in the body.
func dollars(body string) string {
	sign := "$cacheproxy$"
	for i := 1; strings.Contains(body, sign); i++ {
		sign = "$cacheproxy" + strconv.Itoa(i) + "$"
	}
	return sign + body + sign
}

// joined joins f of each element, with separators.
func joined[T any](list []T, separator string, f func(T) string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = f(s)
	}
	return strings.Join(parts, separator)
}
