package config

// ValkeyView is the server that instances share, without passwords.
type ValkeyView struct {
	URL        string         `json:"url,omitempty"` // without user and password
	Sentinel   *SentinelView  `json:"sentinel,omitempty"`
	Username   string         `json:"username,omitempty"`
	Password   Secret         `json:"password,omitempty"`
	TLS        *ClientTLSView `json:"tls,omitempty"` // empty: the system's authorities, and no certificate of its own
	Prefix     string         `json:"prefix"`
	Timeout    string         `json:"timeout"`
	Lease      string         `json:"lease"`
	Required   bool           `json:"required"`
	Durability string         `json:"durability"`
	Compress   string         `json:"compress"`
	Instance   string         `json:"instance,omitempty"`
}

// SentinelView is who knows where the server is.
type SentinelView struct {
	Master    string   `json:"master"`
	Addresses []string `json:"addresses"`
	Username  string   `json:"username,omitempty"`
	Password  Secret   `json:"password,omitempty"`
}

func viewValkey(k *Valkey, doc *valkeyDoc) *ValkeyView {
	v := &ValkeyView{
		Username: k.Server.Username, Password: Secret(k.Server.Password), Prefix: k.Prefix, Timeout: k.Timeout.String(), Lease: k.Lease.String(),
		Required: k.Required, Durability: word(durabilities, doc.Durability), Compress: word(compresses, doc.Compress), Instance: k.Instance,
	}
	if s := k.Server.Sentinel; s != nil {
		v.Sentinel = &SentinelView{Master: s.Master, Addresses: k.Server.Addresses, Username: s.Username, Password: Secret(s.Password)}
	} else {
		v.URL = k.Shown()
	}
	if k.Server.TLS != nil {
		files := ClientTLSView(doc.TLS)
		v.TLS = &files
	}
	return v
}
