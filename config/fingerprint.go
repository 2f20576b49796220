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

// meaning is everything about a route that changes what one of its stored copies means: whom it may be shown to, what
// the origin was asked, how the answer was changed, and under which names it is purged. How long copies live, how many
// wait for one and whether the cache is switched on do not: a change there must not empty the cache.
//
// Changing this struct, or the meaning of one of its fields, changes every fingerprint.
type meaning struct {
	Version          int // of this list
	Name             string
	Upstream         string // the URL: renaming an upstream changes nothing
	Host             string
	Patterns         []string // wildcards in names depend on them
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
	Compression      string `json:",omitempty"` // whatever is not compressed keeps the fingerprint that it had before there was any
	Targets          []string
	Names            int `json:",omitempty"` // 1: copies of an API that is sent a Host of its own are named as its own, and not as of all such APIs
	TagHeaders       []string
	Preferences      int `json:",omitempty"` // 1: keys have what clients prefer most, and the API was told that. A build without it keeps copies of its own
}

// fingerprint stands for the route's meaning. It is the same in every process and version of Go.
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
