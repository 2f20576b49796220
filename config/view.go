package config

import (
	"crypto/tls"
	"strings"
	"time"

	"cacheproxy/proxy/upstream"
)

// View is a Snapshot to be shown: what is in force, after defaults, environment and flags, without secrets. It has a value
// under every key of the document that means something in it.
type View struct {
	Listen          string         `json:"listen"`
	TLS             *TLSView       `json:"tls,omitempty"`
	H2C             bool           `json:"h2c"`
	TrustedProxies  []string       `json:"trusted_proxies,omitempty"`
	ReusePort       bool           `json:"reuse_port"`
	DrainDelay      string         `json:"drain_delay"`
	ShutdownTimeout string         `json:"shutdown_timeout"`
	CacheStatusKey  bool           `json:"cache_status_key"`
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
	Listen string      `json:"listen"`
	TLS    *TLSView    `json:"tls,omitempty"`
	Tokens []TokenView `json:"tokens,omitempty"`
}

// TokenView is what a caller may do.
type TokenView struct {
	Name  string   `json:"name"`
	Token Secret   `json:"token"`
	Allow []string `json:"allow"`
}

// LogView is what is written to the log; shares from 0 to 1.
type LogView struct {
	Format string  `json:"format"`
	Level  string  `json:"level"`
	Hits   float64 `json:"hits"`
	Others float64 `json:"others"`
}

// TLSView shows a listener's certificate.
type TLSView struct {
	Cert       string    `json:"cert"`
	Key        string    `json:"key"` // the file
	Subject    string    `json:"subject"`
	Expires    time.Time `json:"expires"`
	MinVersion string    `json:"min_version"`
}

// TracingView shows where traces go.
type TracingView struct {
	Endpoint string            `json:"endpoint"`
	Sample   float64           `json:"sample"`
	Service  string            `json:"service"`
	Headers  map[string]Secret `json:"headers,omitempty"`
}

// MemoryView is in bytes.
type MemoryView struct {
	Size      int64 `json:"size"`
	MaxObject int64 `json:"max_object"`
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
	ClientTLSView
}

// ClientTLSView names what a connection that the proxy makes is authenticated with.
type ClientTLSView struct {
	CA         string `json:"ca,omitempty"`
	Cert       string `json:"cert,omitempty"`
	Key        string `json:"key,omitempty"` // the file
	ServerName string `json:"server_name,omitempty"`
}

// HealthView is how an upstream's addresses are checked.
type HealthView struct {
	Path     string `json:"path"`
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
}

// View shows the snapshot without its secrets.
func (s *Snapshot) View() View {
	v := View{
		Listen: s.Listen, TLS: viewTLS(s.TLS), H2C: s.H2C, DrainDelay: s.DrainDelay.String(),
		ReusePort: s.ReusePort, ShutdownTimeout: s.ShutdownTimeout.String(), CacheStatusKey: s.CacheStatusKey, Limits: viewLimits(s),
		Admin:  AdminView{Listen: s.Admin.Listen, TLS: viewTLS(s.Admin.TLS)},
		Log:    LogView{Format: word(logFormats, s.Log.Format), Level: s.Log.Level.String(), Hits: s.Log.Hits, Others: s.Log.Others},
		Memory: MemoryView{Size: s.Memory.Size, MaxObject: s.Memory.MaxObject},
	}
	for _, p := range s.TrustedProxies {
		v.TrustedProxies = append(v.TrustedProxies, p.String())
	}
	if t := s.Tracing; t != nil {
		v.Tracing = &TracingView{Endpoint: t.Endpoint.String(), Sample: t.Sample, Service: t.Service, Headers: t.Headers}
	}
	for _, t := range s.Admin.Tokens {
		v.Admin.Tokens = append(v.Admin.Tokens, viewToken(t))
	}
	if s.Valkey != nil {
		v.Valkey = viewValkey(s.Valkey, &s.doc.Valkey)
	}
	for i, u := range s.Upstreams {
		shown := viewUpstream(u)
		shown.ClientTLSView = ClientTLSView(s.doc.Upstreams[i].upstreamTLSDoc)
		if d := s.Settle[u.Name]; d > 0 {
			shown.Settle = d.String()
		}
		v.Upstreams = append(v.Upstreams, shown)
	}
	for i, r := range s.Routes {
		v.Routes = append(v.Routes, viewRoute(r, &s.doc.Routes[i]))
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

func viewUpstream(u upstream.Options) UpstreamView {
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
		path, _, query := strings.Cut(h.Path, "?")
		if query {
			path += "?" + Secret("").String() // where a service may want a token
		}
		v.Health = &HealthView{Path: path, Interval: h.Interval.String(), Timeout: h.Timeout.String()}
	}
	return v
}

func viewToken(t Token) TokenView {
	v := TokenView{Name: t.Name, Token: t.Secret}
	if t.Allow == AllowAll {
		v.Allow = []string{word(permissions, AllowAll)}
		return v
	}
	for _, p := range permissions {
		if t.Allow.Has(p.value) {
			v.Allow = append(v.Allow, p.name)
		}
	}
	return v
}

func viewTLS(t *TLS) *TLSView {
	if t == nil {
		return nil
	}
	v := &TLSView{Cert: t.Cert, Key: t.Key, MinVersion: tls.VersionName(t.MinVersion)}
	if leaf := t.Certificate.Leaf; leaf != nil {
		v.Subject, v.Expires = leaf.Subject.String(), leaf.NotAfter
	}
	return v
}
