package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cacheproxy/config"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// staleness is the oldest answer that a read of the route may get.
func staleness(r *policy.Route) string {
	switch {
	case !r.Caches:
		return "the origin's"
	case r.Mode != policy.On:
		return "the origin's, while the mode is " + r.Mode.String()
	case r.Policy == policy.WriteBehind:
		return "the last write that is done, of those through the proxy; of writes around it: " + age(r)
	case r.FencesWrites:
		return "the last acknowledged write through the proxy; of writes around it: " + age(r)
	case r.RenewsAhead:
		return fmt.Sprintf("near none where a copy is read %s or more since its last fill (renewed at %s of its lifetime); for the rest: %s",
			count(r.MinHits, "time"), config.ShareText(r.RefreshAt), age(r))
	}
	return age(r)
}

// age is the lifetime and the longer of the stale windows.
func age(r *policy.Route) string {
	window, name := r.StaleWhileRevalidate, "while revalidating"
	if r.StaleIfError > window {
		window, name = r.StaleIfError, "while the origin fails"
	}
	text := "the origin's lifetime"
	switch {
	case r.TTL > 0 && window > 0:
		text = fmt.Sprintf("%s (%s, and %s %s)", config.DurationText(r.TTL+window), config.DurationText(r.TTL), config.DurationText(window), name)
	case r.TTL > 0:
		text = config.DurationText(r.TTL)
	case window > 0:
		text = fmt.Sprintf("the origin's lifetime, and %s %s", config.DurationText(window), name)
	}
	if r.TTL > 0 && !r.Override.Has(lifetimeOverrides) {
		text += ", unless the origin names a lifetime"
	}
	if r.FeedDownTTL > 0 {
		return text + "; ended by any purge, and by changes in PostgreSQL; while these go unseen, " + config.DurationText(r.FeedDownTTL) + " unless the origin fails"
	}
	return text + "; ended by any purge"
}

const lifetimeOverrides = policy.OverrideMaxAge | policy.OverrideSMaxAge | policy.OverrideExpires

// onMiss says which requests read the origin when there is no copy.
func onMiss(r *policy.Route) string {
	if !r.Caches || r.Mode != policy.On {
		return "each request reads the origin itself"
	}
	text := fmt.Sprintf("the proxy reads the origin once; up to %d requests wait, %s each", r.MaxWaiters, config.DurationText(r.WaitTimeout))
	if r.RenewsAhead {
		text += "; hot copies before they expire"
	}
	if r.Range == policy.RangePart {
		text += "; for a range, each request reads that part itself, and the proxy keeps it"
	}
	return text
}

// onWrite says what a write of the route costs, and which copies the write makes unusable.
func onWrite(r *policy.Route) string {
	if !writes(r) {
		return ""
	}
	if r.Invalidates != nil && r.Invalidates.Nothing {
		return "the origin; copies stay as they are"
	}
	gone := "its URL"
	if r.Caches && !r.Key.Zero() {
		gone += ", the copy's name"
	}
	gone += invalidated(r.Invalidates)
	if r.Invalidates.ReadsResponse() {
		gone += "; what only the answer names is known when the origin has done the write, and stays if this instance dies then"
	}
	if r.FailedWrite == policy.FailedKeep {
		gone += "; nothing, where the answer is a 5xx"
	}
	if !r.FencesWrites {
		if r.OnWrite == policy.OnWriteStore {
			gone += "; an answer to POST or PATCH whose Content-Location is the URL is stored"
		}
		return "the origin; then gone everywhere, before the answer: " + gone
	}
	text := "a fence, then the origin; then gone everywhere, before the answer: " + gone
	text += "; an unknown outcome keeps the fence for " + config.DurationText(r.FenceHold)
	if r.OnWrite == policy.OnWriteStore {
		text += "; an answer whose Content-Location is the URL is stored"
	}
	return text
}

// oneAtATime says which writes wait for each other, and where; empty: none.
func oneAtATime(r *policy.Route, s *config.Snapshot) string {
	if !r.SerializesWrites {
		return ""
	}
	key := "host and path"
	if !r.WriteKey.Zero() {
		key = r.WriteKey.String()
	}
	text := "writes of one key (" + key + ")"
	switch {
	case s.Valkey == nil:
		text += ", in this process only: those of other instances need valkey"
	case r.RefusesWrites:
		text += ", in all instances; with 503 while Valkey is away"
	default:
		text += ", in all instances, but in each by itself while Valkey is away"
	}
	if r.Mode != policy.On {
		text += "; not while the mode is " + r.Mode.String()
	}
	return text
}

// writes reports whether a pattern of the route matches unsafe methods.
func writes(r *policy.Route) bool {
	return slices.ContainsFunc(r.Patterns, func(p policy.Pattern) bool { return !httpcache.Safe(p.Method()) })
}

func invalidated(in *policy.Invalidates) string {
	if in == nil {
		return ""
	}
	var b strings.Builder
	for _, list := range []struct {
		kind  string
		names string
	}{
		{"key", join(in.Keys, policy.Template.String)},
		{"tag", join(in.Tags, policy.Template.String)},
		{"URL", join(in.URLs, policy.Template.String)},
		{"prefix", join(in.Prefixes, policy.Template.String)},
		{"route", strings.Join(in.Routes, ", ")},
	} {
		if list.names != "" {
			fmt.Fprintf(&b, ", %s %s", list.kind, list.names)
		}
	}
	if in.Otherwise != nil {
		fmt.Fprintf(&b, " (or, when that cannot be told%s)", invalidated(in.Otherwise))
	}
	return b.String()
}

// onStoreDown says what happens while the shared store cannot be reached.
func onStoreDown(r *policy.Route) string {
	var parts []string
	switch {
	case r.Mode != policy.On:
	case r.RefusesReads:
		parts = append(parts, "reads fail with 503, the origin is not touched")
	case r.Caches:
		parts = append(parts, "reads fall back to the origin, under its limit")
	}
	if writes(r) {
		if r.Policy == policy.WriteBehind {
			parts = append(parts, "writes fail with 503, and what was accepted waits")
		} else if r.RefusesWrites && r.Mode == policy.On {
			parts = append(parts, "writes fail with 503 before the origin is touched")
		} else {
			parts = append(parts, "writes go through, and what they invalidate is made up for later")
		}
	}
	if len(parts) == 0 {
		return "unaffected"
	}
	return strings.Join(parts, "; ")
}

// keyed lists the parts of requests that tell copies apart.
func keyed(r *policy.Route) string {
	parts := []string{"scheme"}
	if r.Host.Literal == "" {
		parts = append(parts, "host")
	}
	parts = append(parts, "path", "query")
	for _, name := range r.Headers {
		parts = append(parts, "header "+name)
	}
	if _, selects := r.WithoutOrigin(http.Header{"Origin": {"https://a.example"}}); selects {
		parts = append(parts, "header Origin (unless the answer is for any)")
	}
	for _, name := range r.Cookies {
		parts = append(parts, "cookie "+name)
	}
	if r.Content.Max > 0 {
		parts = append(parts, content(r))
	}
	if fields := policy.PreferencesOf(r); len(fields) > 0 {
		parts = append(parts, "what is preferred most of "+strings.Join(fields, ", "))
	}
	return strings.Join(parts, ", ") + ", and what Vary names"
}

// content says which requests with content are reads.
func content(r *policy.Route) string {
	posts := slices.ContainsFunc(r.Patterns, func(p policy.Pattern) bool { return p.Method() == http.MethodPost })
	text := "of QUERY the content"
	switch {
	case posts && r.Content.GraphQL:
		text = "of GraphQL queries the content"
	case posts:
		text = "of QUERY and POST the content"
	}
	return text + ", up to " + config.SizeText(r.Content.Max)
}

func queryRule(q policy.Query) string {
	var parts []string
	if len(q.Include) > 0 {
		parts = append(parts, "keeps "+strings.Join(q.Include, ", "))
	}
	if len(q.Exclude) > 0 {
		parts = append(parts, "drops "+strings.Join(q.Exclude, ", "))
	}
	others := "others"
	if len(parts) == 0 {
		others = "parameters"
	}
	parts = append(parts, map[policy.Unlisted]string{
		policy.UnlistedBypass: others + " send the request past the cache",
		policy.UnlistedDrop:   others + " are dropped",
		policy.UnlistedKey:    others + " are kept",
	}[q.Unlisted])
	if q.Sort {
		parts = append(parts, "sorted by name")
	}
	return strings.Join(parts, "; ")
}

func forwarded(r *policy.Route) string {
	if r.ForwardHeaders == policy.ForwardAll {
		return "all headers but credentials"
	}
	others := map[policy.Unlisted]string{
		policy.UnlistedBypass: "others send the request past the cache",
		policy.UnlistedDrop:   "others are dropped",
		policy.UnlistedKey:    "others are kept, and keyed",
	}[r.OnUnlisted]
	return "headers that negotiate, what is keyed, what Vary names; who asks and how is dropped; " + others
}

func purgedBy(r *policy.Route) string {
	var parts []string
	if !r.Key.Zero() {
		parts = append(parts, "key "+r.Key.String())
	}
	for _, tag := range r.Tags {
		parts = append(parts, "tag "+tag.String())
	}
	return strings.Join(append(parts, "tags of the response", "URL", "prefix", "route "+r.Name), ", ")
}

func lifetime(r *policy.Route) string {
	text := "the origin's"
	switch {
	case r.Override.Has(lifetimeOverrides):
		text = config.DurationText(r.TTL)
	case r.TTL > 0:
		text += ", else " + config.DurationText(r.TTL)
	default:
		text += ", else a tenth of the time since Last-Modified"
	}
	if r.TTL > 0 && r.Jitter > 0 {
		text += " less up to " + config.ShareText(r.Jitter)
	}
	for _, window := range []struct {
		name string
		d    time.Duration
	}{
		{"stale while revalidating", r.StaleWhileRevalidate}, {"stale if error", r.StaleIfError}, {"404 and 410", r.NegativeTTL},
	} {
		if window.d > 0 {
			text += "; " + window.name + " " + config.DurationText(window.d)
		}
	}
	return text
}

func compressed(r *policy.Route) string {
	if r.Compression == httpcache.Identity {
		return ""
	}
	return "with " + r.Compression.String() + ", and sent so to clients that accept it"
}

// edited lists the response fields that clients get differently from what the origin sent.
func edited(r *policy.Route) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.SetFields)) {
		parts = append(parts, name+": "+strings.Join(r.SetFields[name], ""))
	}
	for _, name := range r.RemoveFields {
		parts = append(parts, "no "+name)
	}
	return strings.Join(parts, "; ")
}

func where(r *policy.Route) string {
	var parts []string
	for of, value := range r.Where {
		source := map[policy.PlaceholderKind]string{policy.FromHeader: "header.", policy.FromCookie: "cookie.", policy.FromQuery: "query."}[of.Kind]
		parts = append(parts, source+of.Name+" is "+value.String())
	}
	slices.Sort(parts)
	if len(r.Clients) > 0 {
		parts = append(parts, "client is in "+join(r.Clients, netip.Prefix.String))
	}
	return strings.Join(parts, ", ")
}
