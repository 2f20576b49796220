package config

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// Every field of a route either changes what its copies mean, or does not. A new field fails here until it is decided.
var meaningful = map[string]bool{
	"Name": true, "Patterns": true, "Host": true, "Key": true, "Tags": true, "Query": true, "Headers": true,
	"Cookies": true, "ForwardHeaders": true, "OnUnlisted": true, "IgnoreHeaders": true, "Override": true, "StoreIf": true, "IgnoreCookies": true,
	"IgnoreAllCookies": true, "Compression": true, "StripSetCookie": true, "ShareAuthorized": true,

	// Whom a route is for is not what its copies are: a fetch tells the API nothing of that but what is keyed.
	"Where": false, "Clients": false, "SetFields": false, "RemoveFields": false, "Upstream": false, "Policy": false, "Mode": false, "ModeShare": false, "Fingerprint": false, "TTL": false,
	"Jitter": false, "StaleWhileRevalidate": false, "StaleIfError": false, "NegativeTTL": false, "RefreshAt": false,
	"MinHits": false, "Range": false, "MaxWaiters": false, "WaitTimeout": false, "OnWrite": false, "Caches": false,
	"RefusesReads": false, "FencesWrites": false, "RefusesWrites": false, "RenewsAhead": false,
	"FenceHold": false, "WriteKey": false, "SerializesWrites": false, "Board": false, "Invalidates": false, "Content": false,
	"Client": false, "Targets": true, "TagHeaders": true, "FailedWrite": false, "Settle": false, "OnLeaseLoss": false, "LeaseLossMax": false, "FeedDownTTL": false,
}

func TestFingerprintCoversRoute(t *testing.T) {
	upstream := &url.URL{Scheme: "http", Host: "127.0.0.1:9000"}
	base := fingerprint(&policy.Route{}, upstream)
	for i := range reflect.TypeFor[policy.Route]().NumField() {
		name := reflect.TypeFor[policy.Route]().Field(i).Name
		matters, decided := meaningful[name]
		if !decided {
			t.Errorf("decide whether Route.%s changes what a stored copy means: fingerprint.go and here", name)
			continue
		}
		var r policy.Route
		change(t, reflect.ValueOf(&r).Elem().Field(i))
		if got := fingerprint(&r, upstream) != base; got != matters {
			t.Errorf("changing Route.%s changes the fingerprint: %v, want %v", name, got, matters)
		}
	}
}

// Parts of fields that hold several.
func TestFingerprintOfParts(t *testing.T) {
	upstream := &url.URL{Scheme: "http", Host: "127.0.0.1:9000"}
	routes := []policy.Route{
		{},
		{Query: policy.Query{Include: []string{"a"}}}, {Query: policy.Query{Exclude: []string{"a"}}},
		{Query: policy.Query{Sort: true}}, {Query: policy.Query{Unlisted: policy.UnlistedKey}},
		{StoreIf: policy.StoreIf{MinBytes: 1}}, {StoreIf: policy.StoreIf{ContentTypes: []string{"a/b"}}},
		{Headers: []string{"a", "b"}}, {Headers: []string{"ab"}}, {Cookies: []string{"ab"}},
	}
	seen := map[uint64]int{}
	for i := range routes {
		f := fingerprint(&routes[i], upstream)
		if first, taken := seen[f]; taken {
			t.Errorf("routes %d and %d have the same fingerprint", first, i)
		}
		seen[f] = i
	}
	if fingerprint(&routes[0], &url.URL{Scheme: "http", Host: "127.0.0.1:9001"}) == fingerprint(&routes[0], upstream) {
		t.Error("another upstream has the same fingerprint")
	}
}

// Instances and restarts agree: a change of this number empties every cache.
func TestFingerprintIsStable(t *testing.T) {
	s := mustLoad(t, oneUpstream+`routes: [{name: product, match: "GET /products/{id}", policy: cache-aside, key: "p:{id}", ttl: 1m}]`)
	const want = 0xf50f57a418186c39
	if got := s.Routes[0].Fingerprint; got != want {
		t.Errorf("fingerprint %#x, want %#x", got, uint64(want))
	}
}

// change gives a field another value than zero.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Addr().Interface().(type) {
	case *[]policy.Pattern:
		p, err := policy.ParsePattern("/a")
		if err != nil {
			t.Fatal(err)
		}
		v.Set(reflect.ValueOf([]policy.Pattern{p}))
	case *policy.Template, *[]policy.Template:
		template, err := policy.ParseTemplate("a")
		if err != nil {
			t.Fatal(err)
		}
		value := reflect.ValueOf(template)
		if v.Kind() == reflect.Slice {
			value = reflect.ValueOf([]policy.Template{template})
		}
		v.Set(value)
	case *map[policy.Placeholder]*regexp.Regexp:
		v.Set(reflect.ValueOf(map[policy.Placeholder]*regexp.Regexp{{Name: "a"}: regexp.MustCompile("a")}))
	case *[]netip.Prefix:
		v.Set(reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}))
	case *http.Header:
		v.Set(reflect.ValueOf(http.Header{"A": {"a"}}))
	case *[]string:
		v.Set(reflect.ValueOf([]string{"a"}))
	case *policy.Query:
		v.Set(reflect.ValueOf(policy.Query{Sort: true}))
	case *policy.ContentReads:
		v.Set(reflect.ValueOf(policy.ContentReads{Max: 1}))
	case *httpcache.Coding:
		v.Set(reflect.ValueOf(httpcache.Zstd))
	case *policy.StoreIf:
		v.Set(reflect.ValueOf(policy.StoreIf{MinBytes: 1}))
	case *policy.HostRule:
		v.Set(reflect.ValueOf(policy.HostRule{Literal: "a"}))
	case *policy.Invalidates, **policy.Invalidates:
		v.Set(reflect.ValueOf(&policy.Invalidates{Routes: []string{"a"}}))
	case *time.Duration:
		v.SetInt(1)
	default:
		changeKind(t, v)
	}
}

func changeKind(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.Kind() == reflect.String:
		v.SetString("a")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.CanFloat():
		v.SetFloat(1)
	default:
		t.Fatalf("no other value known for a field of type %v", v.Type())
	}
}

// An address more must not empty the cache: any address of an upstream may have given any copy.
func TestFingerprintIsOfTheFirstAddress(t *testing.T) {
	const text = "upstreams: [{name: api, host: upstream, url: %s}]\nroutes: [{name: a, match: /a, policy: cache-aside, ttl: 1m}]\n"
	of := func(url string) uint64 { return mustLoad(t, fmt.Sprintf(text, url)).Routes[0].Fingerprint }
	one := of(`"http://10.0.0.1:9000"`)
	if one != of(`["http://10.0.0.1:9000", "http://10.0.0.2:9000"]`) || one == of(`["http://10.0.0.2:9000", "http://10.0.0.1:9000"]`) {
		t.Error("the fingerprint is not that of the first address")
	}
}
