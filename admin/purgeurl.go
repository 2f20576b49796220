package admin

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// siteNamed is the host of the URL that a call targets; empty: any host. The host of an absolute target wins over Host
// (RFC 9112 §3.2.2). A host with the port of this listener is not meant as a site and stands for any host: purging too
// much is harmless, purging too little is not.
func siteNamed(r *request) (string, error) {
	t := r.target
	switch {
	case isOwnHost(r.Request):
		return "", nil
	case t.Host != "":
		return t.Host, nil
	case r.Host == "":
		return "", errors.New("the request has no Host, which names the site: send one, or for every host a path by POST /purge with {\"urls\":[…]}")
	}
	t.Host = strings.ToLower(r.Host)
	return t.Host, checkForwardedHost(r.Header, t)
}

// forwardedHost matches a host in Forwarded (RFC 7239 §5.3).
var forwardedHost = regexp.MustCompile(`(?i)(?:^|[;,\s])host="?([^\s;,"]*)`)

// checkForwardedHost refuses a PURGE through a proxy that replaced the host. Either host may be the site's.
func checkForwardedHost(h http.Header, t httpcache.Target) error {
	var said []string
	for name, values := range h {
		list := strings.Join(values, ",")
		switch foldName(name) {
		case "x-forwarded-host":
			said = append(said, strings.Split(list, ",")...)
		case "forwarded":
			for _, match := range forwardedHost.FindAllStringSubmatch(list, -1) {
				said = append(said, match[1])
			}
		}
	}
	own, _ := splitPort(t.Host)
	for _, host := range said {
		if name, _ := splitPort(strings.TrimSpace(host)); name != "" && !strings.EqualFold(name, own) {
			return fmt.Errorf("the host is %q, and a proxy on the way says that it was %q: send the URL by POST /purge with {\"urls\":[%q]}",
				shorten(t.Host), shorten(name), shorten("http://"+name+t.String()))
		}
	}
	return nil
}

// urlMembers names the copies of one URL. A URL without a query stands for its path with every query.
func (h *handler) urlMembers(t httpcache.Target) (members []policy.Member) {
	for _, t := range aliases(t) {
		if t.HasQuery {
			members = append(members, h.URLMembers(t)...)
		} else {
			members = append(members, policy.PathMembers(t.Host, t.Path)...)
		}
	}
	return members
}

// checkParameters refuses a query with soft or wait, in calls where the query is part of the URL to purge. The sender
// may mean the parameter of other calls instead.
func checkParameters(path, query string) error {
	for parameter := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(parameter, "=")
		if name = strings.ToLower(name); name == "soft" || name == "wait" {
			path := shorten(path)
			return fmt.Errorf("%q may be part of the URL or a word to the proxy: for the latter send POST /purge with {\"urls\":[%q],%q:…}, for a URL that has it {\"urls\":[%q]}",
				shorten(parameter), path, name, shorten(path+"?"+query))
		}
	}
	return nil
}

// encodedSign matches an encoded sign of a pattern in a query. Encoding a sign makes a different query (RFC 3986 §2.2).
var encodedSign = regexp.MustCompile(`(?i)(?:%2A|%24)+$|\.(?:%2A)+`)

// aliases are the targets that one target stands for. No copy is stored under a path with empty segments or dots, as
// joining URLs makes them: such a target also stands for the clean path. A query with signs that had to be encoded also
// stands for the query with the plain signs. Unlike with paths, the two queries have different names, and the plain
// query cannot be purged in another way.
func aliases(t httpcache.Target) []httpcache.Target {
	all := []httpcache.Target{t}
	for _, t := range all {
		if clean := policy.CleanTarget(t); clean != t && !strings.ContainsAny(t.Path, `\%`) {
			all = append(all, clean)
		}
	}
	if !t.HasQuery {
		return all
	}
	plain := encodedSign.ReplaceAllStringFunc(t.Query, func(s string) string {
		return strings.NewReplacer("%2A", "*", "%2a", "*", "%24", "$").Replace(s)
	})
	if plain != t.Query {
		for _, t := range all {
			t.Query = plain
			all = append(all, t)
		}
	}
	return all
}
