package config

import (
	"fmt"

	"cacheproxy/policy"
)

// RouteView is one route.
type RouteView struct {
	Name           string            `json:"name"`
	Match          []string          `json:"match"`
	Where          map[string]string `json:"where,omitempty"`
	Upstream       string            `json:"upstream"`
	Policy         string            `json:"policy"`
	Mode           string            `json:"mode"`
	ModeShare      string            `json:"mode_share,omitempty"` // where not all requests
	Key            string            `json:"key,omitempty"`
	Tags           []string          `json:"tags,omitempty"`
	Query          QueryView         `json:"query"`
	Headers        []string          `json:"headers,omitempty"` // in the storage key
	Cookies        []string          `json:"cookies,omitempty"` // in the storage key
	ForwardHeaders string            `json:"forward_headers"`
	Unlisted       string            `json:"unlisted_headers"`
	Content        *ContentView      `json:"content,omitempty"`

	TTL                  string       `json:"ttl"`
	Jitter               string       `json:"jitter"`
	StaleWhileRevalidate string       `json:"stale_while_revalidate"`
	StaleIfError         string       `json:"stale_if_error"`
	NegativeTTL          string       `json:"negative_ttl"`
	Override             []string     `json:"override,omitempty"`
	StoreIf              *StoreIfView `json:"store_if,omitempty"`
	Compression          string       `json:"compression"`
	ClientCacheControl   string       `json:"client_cache_control"`
	TargetedCacheControl []string     `json:"targeted_cache_control"`
	Range                string       `json:"range"`
	IgnoreHeaders        []string     `json:"ignore_headers,omitempty"`
	IgnoreCookies        []string     `json:"ignore_cookies,omitempty"` // all: every one
	StripSetCookie       bool         `json:"strip_set_cookie"`
	ShareAuthorized      bool         `json:"share_authorized"`
	RefreshAt            string       `json:"refresh_at,omitempty"`
	MinHits              int          `json:"min_hits"`
	MaxWaiters           int          `json:"max_waiters"`
	WaitTimeout          string       `json:"wait_timeout"`

	OnWrite      string           `json:"on_write"`
	FailedWrites string           `json:"failed_writes"`
	StoreDown    string           `json:"store_down"`
	FenceHold    string           `json:"fence_hold"`
	OnLeaseLoss  string           `json:"on_lease_loss"`
	LeaseLossMax string           `json:"lease_loss_max,omitempty"`
	Invalidates  *InvalidatesView `json:"invalidates,omitempty"`
}

// QueryView is which parameters are part of the storage key.
type QueryView struct {
	Include  []string `json:"include,omitempty"`
	Exclude  []string `json:"exclude,omitempty"`
	Sort     bool     `json:"sort"`
	Unlisted string   `json:"unlisted"`
}

// ContentView is which requests with content are reads; in bytes.
type ContentView struct {
	Max     int64 `json:"max"`
	GraphQL bool  `json:"graphql"`
}

// StoreIfView is what is stored; in bytes.
type StoreIfView struct {
	ContentType []string `json:"content_type,omitempty"`
	MinBytes    int64    `json:"min_bytes"`
}

// InvalidatesView is what a write makes unusable besides its target.
type InvalidatesView struct {
	TargetsView
	Otherwise *TargetsView `json:"otherwise,omitempty"`
}

// TargetsView names copies.
type TargetsView struct {
	Keys     []string `json:"keys,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	URLs     []string `json:"urls,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Routes   []string `json:"routes,omitempty"`
}

func viewRoute(r *policy.Route, doc *routeDoc) RouteView {
	v := RouteView{
		Name: r.Name, Match: texted(r.Patterns), Where: doc.Where, Upstream: r.Upstream, Policy: r.Policy.String(), Mode: r.Mode.String(),
		Key: r.Key.String(), Tags: texted(r.Tags), Headers: r.Headers, Cookies: r.Cookies, ForwardHeaders: word(forwardings, r.ForwardHeaders),
		Unlisted: word(unlisteds, r.OnUnlisted),
		Query:    QueryView{r.Query.Include, r.Query.Exclude, r.Query.Sort, word(unlisteds, r.Query.Unlisted)},

		TTL: r.TTL.String(), Jitter: percentage(r.Jitter), StaleWhileRevalidate: r.StaleWhileRevalidate.String(),
		StaleIfError: r.StaleIfError.String(), NegativeTTL: r.NegativeTTL.String(), Override: OverrideNames(r.Override),
		Compression: word(compressions, r.Compression), ClientCacheControl: word(clientDirectives, r.Client), TargetedCacheControl: r.Targets,
		Range: r.Range.String(), IgnoreHeaders: r.IgnoreHeaders, IgnoreCookies: r.IgnoreCookies, StripSetCookie: r.StripSetCookie, ShareAuthorized: r.ShareAuthorized,
		MinHits: r.MinHits, MaxWaiters: r.MaxWaiters, WaitTimeout: r.WaitTimeout.String(),

		OnWrite: word(onWrites, r.OnWrite), FailedWrites: word(failedWrites, r.FailedWrite), StoreDown: word(storeDowns, storeDownForward),
		FenceHold: r.FenceHold.String(), OnLeaseLoss: word(leaseLosses, r.OnLeaseLoss), Invalidates: viewInvalidates(r.Invalidates),
	}
	if r.RefusesWrites {
		v.StoreDown = word(storeDowns, storeDownReject)
	}
	if r.ModeShare > 0 && r.ModeShare < 1 {
		v.ModeShare = percentage(r.ModeShare)
	}
	if r.Content.Max > 0 {
		v.Content = &ContentView{r.Content.Max, r.Content.GraphQL}
	}
	if s := r.StoreIf; len(s.ContentTypes) > 0 || s.MinBytes > 0 {
		v.StoreIf = &StoreIfView{s.ContentTypes, s.MinBytes}
	}
	if r.IgnoreAllCookies {
		v.IgnoreCookies = []string{"all"}
	}
	if r.RefreshAt > 0 {
		v.RefreshAt = percentage(r.RefreshAt)
	}
	if r.LeaseLossMax > 0 {
		v.LeaseLossMax = r.LeaseLossMax.String()
	}
	return v
}

func viewInvalidates(inv *policy.Invalidates) *InvalidatesView {
	if inv == nil {
		return nil
	}
	v := &InvalidatesView{TargetsView: viewTargets(inv)}
	if inv.Otherwise != nil {
		otherwise := viewTargets(inv.Otherwise)
		v.Otherwise = &otherwise
	}
	return v
}

func viewTargets(inv *policy.Invalidates) TargetsView {
	return TargetsView{texted(inv.Keys), texted(inv.Tags), texted(inv.URLs), texted(inv.Prefixes), inv.Routes}
}

func texted[T fmt.Stringer](list []T) (texts []string) {
	for _, one := range list {
		texts = append(texts, one.String())
	}
	return texts
}

func percentage(share float64) string { return fmt.Sprintf("%.4g%%", share*100) }
