package conformance

// cookieTests ask a shared cache to keep cookies or to answer requests that have some, which a route has to allow.
var cookieTests = map[string]string{}

// exceptions are the required and optimal tests that the proxy does not pass as it comes, and why.
var exceptions = map[string]string{}

// without is a without the keys of b.
func without(a, b map[string]string) map[string]string {
	rest := map[string]string{}
	for id, why := range a {
		if b[id] == "" {
			rest[id] = why
		}
	}
	return rest
}
