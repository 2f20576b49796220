package config

import (
	"log/slog"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// document is the file as its users see it: one field for every key that exists. A key that is not here is refused as
// unknown. Whether a key was written is known to the loader, not to the field.
type document struct {
	Listen          string        `key:"listen"`
	TLS             tlsDoc        `key:"tls"`
	H2C             bool          `key:"h2c"`
	TrustedProxies  texts         `key:"trusted_proxies"`
	ReusePort       bool          `key:"reuse_port"`
	DrainDelay      time.Duration `key:"drain_delay"`
	ShutdownTimeout time.Duration `key:"shutdown_timeout"`
	CacheStatusKey  bool          `key:"cache_status_key"`
	Limits          limitsDoc     `key:"limits"`
	Admin           adminDoc      `key:"admin"`
	Log             logDoc        `key:"log"`
	Tracing         tracingDoc    `key:"tracing"`
	Memory          memoryDoc     `key:"memory"`
	Valkey          valkeyDoc     `key:"valkey"`
	Upstreams       []upstreamDoc `key:"upstreams"`
	Routes          []routeDoc    `key:"routes"`
}

type limitsDoc struct {
	MaxConnections int           `key:"max_connections"`
	MaxPerClient   int           `key:"max_connections_per_client"`
	HeaderTimeout  time.Duration `key:"read_header_timeout"`
	IdleTimeout    time.Duration `key:"idle_timeout"`
	BodyTimeout    time.Duration `key:"body_timeout"`
	WriteTimeout   time.Duration `key:"write_timeout"`
	MaxHeaderBytes size          `key:"max_header_bytes"`
	MaxBody        byteNum       `key:"max_body"`
}

type tlsDoc struct {
	Cert       string     `key:"cert"`
	Key        string     `key:"key"`
	MinVersion tlsVersion `key:"min_version"`
}

type adminDoc struct {
	Listen string     `key:"listen"`
	TLS    tlsDoc     `key:"tls"`
	Tokens []tokenDoc `key:"tokens"`
}

type tokenDoc struct {
	Name  string `key:"name"`
	Token string `key:"token"`
	Allow texts  `key:"allow"`
}

type logDoc struct {
	Format LogFormat  `key:"format"`
	Level  slog.Level `key:"level"`
	Hits   ratio      `key:"hits"`
	Others ratio      `key:"others"`
}

type tracingDoc struct {
	Endpoint string            `key:"endpoint"`
	Sample   ratio             `key:"sample"`
	Service  string            `key:"service"`
	Headers  map[string]string `key:"headers"`
}

type memoryDoc struct {
	Size      memorySize `key:"size"`
	MaxObject size       `key:"max_object"`
}

type upstreamDoc struct {
	Name           string        `key:"name"`
	URL            oneOrMore     `key:"url"`
	Host           string        `key:"host"`
	Health         healthDoc     `key:"health"`
	Timeout        time.Duration `key:"timeout"`
	ConnectTimeout time.Duration `key:"connect_timeout"`
	ReadTimeout    time.Duration `key:"read_timeout"`
	MaxInFlight    int           `key:"max_in_flight"`
	MaxQueue       int           `key:"max_queue"`
	QueueTimeout   time.Duration `key:"queue_timeout"`
	MaxStreams     int           `key:"max_streams"`
	FleetInFlight  int           `key:"fleet_max_in_flight"`
	Settle         time.Duration `key:"settle"`
	upstreamTLSDoc
}

type healthDoc struct {
	Path     string        `key:"path"`
	Interval time.Duration `key:"interval"`
	Timeout  time.Duration `key:"timeout"`
}

type routeDoc struct {
	Name     string            `key:"name"`
	Match    oneOrMore         `key:"match"`
	Where    map[string]string `key:"where"`
	Upstream string            `key:"upstream"`
	Policy   policy.Kind       `key:"policy"`
	Mode     policy.Mode       `key:"mode"`

	ModeShare ratio `key:"mode_share"`

	Key            string            `key:"key"`
	Tags           texts             `key:"tags"`
	Query          queryDoc          `key:"query"`
	Headers        texts             `key:"headers"`
	Cookies        texts             `key:"cookies"`
	ForwardHeaders policy.Forwarding `key:"forward_headers"`
	Unlisted       policy.Unlisted   `key:"unlisted_headers"`
	Content        contentDoc        `key:"content"`

	TTL                  time.Duration    `key:"ttl"`
	Jitter               ratio            `key:"jitter"`
	StaleWhileRevalidate time.Duration    `key:"stale_while_revalidate"`
	StaleIfError         time.Duration    `key:"stale_if_error"`
	NegativeTTL          time.Duration    `key:"negative_ttl"`
	Override             texts            `key:"override"`
	StoreIf              storeIfDoc       `key:"store_if"`
	Compression          httpcache.Coding `key:"compression"`

	ClientCacheControl   policy.ClientDirectives `key:"client_cache_control"`
	TargetedCacheControl texts                   `key:"targeted_cache_control"`

	Range policy.RangeFetch `key:"range"`

	IgnoreHeaders   texts      `key:"ignore_headers"`
	IgnoreCookies   namesOrAll `key:"ignore_cookies"`
	StripSetCookie  bool       `key:"strip_set_cookie"`
	ShareAuthorized bool       `key:"share_authorized"`

	RefreshAt ratio `key:"refresh_at"`
	MinHits   int   `key:"min_hits"`

	MaxWaiters  int           `key:"max_waiters"`
	WaitTimeout time.Duration `key:"wait_timeout"`

	OnWrite     policy.OnWrite     `key:"on_write"`
	FailedWrite policy.FailedWrite `key:"failed_writes"`
	StoreDown   storeDown          `key:"store_down"`
	FenceHold   time.Duration      `key:"fence_hold"`

	OnLeaseLoss  policy.LeaseLoss `key:"on_lease_loss"`
	LeaseLossMax time.Duration    `key:"lease_loss_max"`

	Invalidates invalidatesDoc `key:"invalidates"`
}

type queryDoc struct {
	Include  texts           `key:"include"`
	Exclude  texts           `key:"exclude"`
	Sort     bool            `key:"sort"`
	Unlisted policy.Unlisted `key:"unlisted"`
}

type contentDoc struct {
	Max     byteNum `key:"max"`
	GraphQL bool    `key:"graphql"`
}

type storeIfDoc struct {
	ContentType texts   `key:"content_type"`
	MinBytes    byteNum `key:"min_bytes"`
}

type invalidatesDoc struct {
	targetsDoc
	Otherwise targetsDoc `key:"otherwise"`
}

type targetsDoc struct {
	Keys     texts `key:"keys"`
	Tags     texts `key:"tags"`
	URLs     texts `key:"urls"`
	Prefixes texts `key:"prefixes"`
	Routes   texts `key:"routes"`
}
