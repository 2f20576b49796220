package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/origin"
)

// View is a Snapshot to be shown: what is in force, after defaults, environment and flags, without secrets.
type View struct {
	Listen          string         `json:"listen"`
	TLS             *TLSView       `json:"tls,omitempty"`
	H2C             bool           `json:"h2c"`
	TrustedProxies  []string       `json:"trusted_proxies,omitempty"`
	ReusePort       bool           `json:"reuse_port"`
	DrainDelay      string         `json:"drain_delay"`
	ShutdownTimeout string         `json:"shutdown_timeout"`
	Limits          LimitsView     `json:"limits"`
	Admin           AdminView      `json:"admin"`
	Log             LogView        `json:"log"`
	Tracing         *TracingView   `json:"tracing,omitempty"`
	Memory          MemoryView     `json:"memory"`
	Valkey          *ValkeyView    `json:"valkey,omitempty"`
	Upstreams       []UpstreamView `json:"upstreams"`
	Routes          []RouteView    `json:"routes"`
	Warnings        []string       `json:"warnings,omitempty"`
}

// LimitsView is the data listener's limits; sizes are in bytes.
type LimitsView struct {
	MaxConnections          int    `json:"max_connections"`
	MaxConnectionsPerClient int    `json:"max_connections_per_client"`
	ReadHeaderTimeout       string `json:"read_header_timeout"`
	IdleTimeout             string `json:"idle_timeout"`
	BodyTimeout             string `json:"body_timeout"`
	WriteTimeout            string `json:"write_timeout"`
	MaxHeaderBytes          int    `json:"max_header_bytes"`
	MaxBody                 int64  `json:"max_body"`
}

// AdminView shows who may call the admin listener; not with what.
type AdminView struct {
	Listen string   `json:"listen"`
	TLS    *TLSView `json:"tls,omitempty"`
	Tokens []string `json:"tokens,omitempty"` // names
}

// LogView is what is written to the log; shares from 0 to 1.
type LogView struct {
	Level  string  `json:"level"`
	Hits   float64 `json:"hits"`
	Others float64 `json:"others"`
}

// TLSView shows a listener's certificate.
type TLSView struct {
	Cert       string    `json:"cert"`
	Subject    string    `json:"subject"`
	Expires    time.Time `json:"expires"`
	MinVersion string    `json:"min_version"`
}

// TracingView shows where traces go; of the headers only the names.
type TracingView struct {
	Endpoint string   `json:"endpoint"`
	Sample   float64  `json:"sample"`
	Service  string   `json:"service"`
	Headers  []string `json:"headers,omitempty"`
}

// MemoryView is in bytes.
type MemoryView struct {
	Size      int64 `json:"size"`
	MaxObject int64 `json:"max_object"`
}

// ValkeyView is the server that instances share, without passwords.
type ValkeyView struct {
	Server     string `json:"server"`
	Username   string `json:"username,omitempty"`
	TLS        bool   `json:"tls"`
	Prefix     string `json:"prefix"`
	Timeout    string `json:"timeout"`
	Lease      string `json:"lease"`
	Required   bool   `json:"required"`
	Durability string `json:"durability"`
	Compress   string `json:"compress"`
}

// UpstreamView is one upstream; its URL is shown without user information.
type UpstreamView struct {
	Name           string      `json:"name"`
	URL            string      `json:"url"`
	Replicas       []string    `json:"replicas,omitempty"` // further addresses
	Host           string      `json:"host"`
	Health         *HealthView `json:"health,omitempty"`
	Timeout        string      `json:"timeout"`
	ConnectTimeout string      `json:"connect_timeout"`
	ReadTimeout    string      `json:"read_timeout"`
	MaxInFlight    int         `json:"max_in_flight"`
	MaxQueue       int         `json:"max_queue"`
	QueueTimeout   string      `json:"queue_timeout"`
	MaxStreams     int         `json:"max_streams"`
	FleetInFlight  int         `json:"fleet_max_in_flight,omitempty"`
	Settle         string      `json:"settle,omitempty"`
}

// HealthView is how an upstream's addresses are checked.
type HealthView struct {
	Path     string `json:"path"`
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
}

// RouteView is one route.
type RouteView struct {
	Name                 string   `json:"name"`
	Match                []string `json:"match"`
	Upstream             string   `json:"upstream"`
	Policy               string   `json:"policy"`
	Mode                 string   `json:"mode"`
	ModeShare            string   `json:"mode_share,omitempty"` // where not all requests
	Key                  string   `json:"key,omitempty"`
	Headers              []string `json:"headers,omitempty"` // in the storage key
	Cookies              []string `json:"cookies,omitempty"` // in the storage key
	Tags                 []string `json:"tags,omitempty"`
	TTL                  string   `json:"ttl"`
	StaleWhileRevalidate string   `json:"stale_while_revalidate"`
	StaleIfError         string   `json:"stale_if_error"`
	NegativeTTL          string   `json:"negative_ttl"`
	Range                string   `json:"range"`
	Compression          string   `json:"compression"`
	MaxWaiters           int      `json:"max_waiters"`
	WaitTimeout          string   `json:"wait_timeout"`
	OnLeaseLoss          string   `json:"on_lease_loss"`
	LeaseLossMax         string   `json:"lease_loss_max,omitempty"`
}

// View shows the snapshot without its secrets.
func (s *Snapshot) View() View {
	v := View{
		Listen: s.Listen, TLS: viewTLS(s.TLS), H2C: s.H2C, DrainDelay: s.DrainDelay.String(),
		ReusePort: s.ReusePort, ShutdownTimeout: s.ShutdownTimeout.String(), Limits: viewLimits(s),
		Admin:  AdminView{Listen: s.Admin.Listen, TLS: viewTLS(s.Admin.TLS)},
		Log:    LogView{Level: s.Log.Level.String(), Hits: s.Log.Hits, Others: s.Log.Others},
		Memory: MemoryView{Size: s.Memory.Size, MaxObject: s.Memory.MaxObject},
	}
	for _, p := range s.TrustedProxies {
		v.TrustedProxies = append(v.TrustedProxies, p.String())
	}
	if t := s.Tracing; t != nil {
		v.Tracing = &TracingView{Endpoint: t.Endpoint.String(), Sample: t.Sample, Service: t.Service, Headers: slices.Sorted(maps.Keys(t.Headers))}
	}
	for _, t := range s.Admin.Tokens {
		v.Admin.Tokens = append(v.Admin.Tokens, t.Name)
	}
	if s.Valkey != nil {
		v.Valkey = viewValkey(s.Valkey)
	}
	for _, u := range s.Upstreams {
		shown := viewUpstream(u)
		if d := s.Settle[u.Name]; d > 0 {
			shown.Settle = d.String()
		}
		v.Upstreams = append(v.Upstreams, shown)
	}
	for _, r := range s.Routes {
		v.Routes = append(v.Routes, viewRoute(r))
	}
	for _, w := range s.Warnings {
		v.Warnings = append(v.Warnings, w.String())
	}
	return v
}

func viewLimits(s *Snapshot) LimitsView {
	l := s.Limits
	return LimitsView{
		MaxConnections: l.MaxConnections, MaxConnectionsPerClient: l.MaxPerClient, ReadHeaderTimeout: l.ReadHeaderTimeout.String(),
		IdleTimeout: l.IdleTimeout.String(), BodyTimeout: l.BodyTimeout.String(), WriteTimeout: l.WriteTimeout.String(),
		MaxHeaderBytes: l.MaxHeaderBytes, MaxBody: s.MaxBody,
	}
}

func viewUpstream(u origin.Options) UpstreamView {
	v := UpstreamView{
		Name: u.Name, URL: u.URL.Redacted(), Host: u.Host.Literal, Timeout: u.Timeout.String(),
		ConnectTimeout: u.DialTimeout.String(), ReadTimeout: u.ReadTimeout.String(), MaxInFlight: u.MaxInFlight,
		MaxQueue: u.MaxQueue, QueueTimeout: u.QueueTimeout.String(), MaxStreams: u.MaxStreams, FleetInFlight: u.FleetMaxInFlight,
	}
	for _, r := range u.Replicas {
		v.Replicas = append(v.Replicas, r.Redacted())
	}
	switch {
	case u.HostOfAddress:
		v.Host = "upstream"
	case v.Host == "":
		v.Host = "pass"
	}
	if h := u.Health; h.Path != "" {
		v.Health = &HealthView{Path: h.Path, Interval: h.Interval.String(), Timeout: h.Timeout.String()}
	}
	return v
}

func viewRoute(r *policy.Route) RouteView {
	v := RouteView{
		Name: r.Name, Upstream: r.Upstream, Policy: r.Policy.String(), Mode: r.Mode.String(), Key: r.Key.String(),
		TTL: r.TTL.String(), StaleWhileRevalidate: r.StaleWhileRevalidate.String(), StaleIfError: r.StaleIfError.String(),
		NegativeTTL: r.NegativeTTL.String(), Range: r.Range.String(), MaxWaiters: r.MaxWaiters, WaitTimeout: r.WaitTimeout.String(),
		Compression: "none", Headers: r.Headers, Cookies: r.Cookies, OnLeaseLoss: word(leaseLosses, r.OnLeaseLoss),
	}
	if r.LeaseLossMax > 0 {
		v.LeaseLossMax = r.LeaseLossMax.String()
	}
	if r.Compression != policy.Identity {
		v.Compression = r.Compression.String()
	}
	if r.ModeShare > 0 && r.ModeShare < 1 {
		v.ModeShare = fmt.Sprintf("%.4g%%", r.ModeShare*100)
	}
	for _, p := range r.Patterns {
		v.Match = append(v.Match, p.String())
	}
	for _, t := range r.Tags {
		v.Tags = append(v.Tags, t.String())
	}
	return v
}

func viewValkey(k *Valkey) *ValkeyView {
	v := &ValkeyView{
		Server: k.Shown(), Username: k.Server.Username, TLS: k.Server.TLS != nil, Prefix: k.Prefix, Timeout: k.Timeout.String(),
		Lease: k.Lease.String(), Required: k.Required, Durability: "none", Compress: "none",
	}
	if k.Replicas > 0 {
		v.Durability = "replicas"
	}
	if k.Compress {
		v.Compress = "zstd"
	}
	return v
}

func viewTLS(t *TLS) *TLSView {
	if t == nil {
		return nil
	}
	v := &TLSView{Cert: t.Cert, MinVersion: tls.VersionName(t.MinVersion)}
	if leaf := t.Certificate.Leaf; leaf != nil {
		v.Subject, v.Expires = leaf.Subject.String(), leaf.NotAfter
	}
	return v
}
