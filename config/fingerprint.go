package config

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// meaning is everything about a route that changes what one of its stored copies means: the clients who may get the
// copy, the request that the origin got, the changes to the answer, and the names that purge the copy. The lifetime of
// copies, the number of waiters and the switch of the cache are left out: a change of these must not empty the cache.
//
// A change of this struct, or of the meaning of a field, changes every fingerprint.
type meaning struct {
	Version          int // of this list
	Name             string
	Upstream         string // the URL: renaming an upstream changes nothing
	Host             string
	Patterns         []string // names with wildcards depend on the patterns
	Key              string
	Tags             []string
	Query            policy.Query
	Headers          []string
	Cookies          []string
	ForwardHeaders   policy.Forwarding
	UnlistedHeaders  policy.Unlisted
	Override         policy.Override
	ContentTypes     []string
	MinBytes         int64
	IgnoreHeaders    []string
	IgnoreCookies    []string
	IgnoreAllCookies bool
	StripSetCookie   bool
	ShareAuthorized  bool
	// Compression is empty for identity, so that routes without compression keep their fingerprints from before this field.
	Compression string `json:",omitempty"`
	Targets     []string
	// Names is 1 where the API is sent a Host of its own: its copies have names of that API alone, not of all such APIs.
	Names      int `json:",omitempty"`
	TagHeaders []string
	// Preferences is 1 where keys hold the client's first preference, which the API got as well. Builds without this field
	// keep copies of their own.
	Preferences int `json:",omitempty"`
}

// fingerprint is a number for the route's meaning, the same in every process and version of Go.
func fingerprint(r *policy.Route, upstream *url.URL) uint64 {
	m := meaning{
		Version: 2, Name: r.Name, Upstream: upstream.String(), Host: r.Host.Literal,
		Key: r.Key.String(), Query: r.Query, Headers: r.Headers, Cookies: r.Cookies, ForwardHeaders: r.ForwardHeaders,
		UnlistedHeaders: r.OnUnlisted, IgnoreHeaders: r.IgnoreHeaders,
		Override: r.Override, ContentTypes: r.StoreIf.ContentTypes, MinBytes: r.StoreIf.MinBytes,
		IgnoreCookies: r.IgnoreCookies, IgnoreAllCookies: r.IgnoreAllCookies,
		StripSetCookie: r.StripSetCookie, ShareAuthorized: r.ShareAuthorized, Targets: r.Targets, TagHeaders: slices.Sorted(slices.Values(r.TagHeaders)),
	}
	if r.Compression != httpcache.Identity {
		m.Compression = r.Compression.String()
	}
	if r.Host.Literal != "" {
		m.Names = 1
	}
	if r.ForwardHeaders == policy.ForwardListed {
		m.Preferences = 1
	}
	for _, p := range r.Patterns {
		m.Patterns = append(m.Patterns, p.String())
	}
	for _, t := range r.Tags {
		m.Tags = append(m.Tags, t.String())
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("BUG: meaning of a route cannot be written: %v", err))
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8])
}
