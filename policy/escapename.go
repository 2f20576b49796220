package policy

import "cacheproxy/policy/httpcache"

// escapeName makes a value fit for a name: the separators of names and everything that could imitate them are
// percent-encoded, so that two different values never give the same name. Whoever builds the name of a copy from values
// (a purge by a row of a database) uses it for every value, as templates do.
func escapeName(value string) string {
	return httpcache.Escape(value, func(c byte) bool { return c == ':' || c == '/' || c == '%' || c < ' ' || c == 0x7f })
}
