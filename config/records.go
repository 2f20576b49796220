package config

import (
	"time"

	"cacheproxy/invalidation/valkey"
)

// Records is where boards are kept.
type Records struct {
	Server  valkey.Server
	Prefix  string        // of every key
	Timeout time.Duration // of one submission or read
	Memory  bool          // in this process alone; Server is empty then
	Apart   bool          // on another server than the copies, as far as the configuration says
}

// Shown is the address of the records, without secrets.
func (r *Records) Shown() string {
	if r.Memory {
		return inMemory
	}
	return (&Valkey{Server: r.Server}).Shown()
}

// inMemory is the url for records without a server.
const inMemory = "memory"

// recordsTimeout is the timeout of records on the server of the copies.
const recordsTimeout = time.Second

// compileRecords is nil where boards have no place: the configuration has neither a section for records nor valkey.
func compileRecords(doc *part, v *Valkey, beside *files) *Records {
	if !doc.written() {
		if v == nil {
			return nil
		}
		return &Records{Server: v.Server, Prefix: v.Prefix, Timeout: recordsTimeout}
	}
	r := &Records{Prefix: doc.text("prefix"), Timeout: doc.duration("timeout"), Apart: true}
	doc.there = true
	if doc.text("url") == inMemory {
		r.Memory = true
		for _, name := range []string{"sentinel", "username", "password", "tls", "prefix"} {
			if doc.has(name) {
				doc.problem(name, "has no effect with url: memory; remove it")
			}
		}
		return r
	}
	r.Server = compileServer(doc, beside)
	doc.Part("sentinel").there, doc.Part("tls").there = r.Server.Sentinel != nil, r.Server.TLS != nil
	doc.setInForce("username", r.Server.Username)
	doc.setInForce("password", r.Server.Password)
	if r.Server.Sentinel == nil {
		doc.setInForce("url", r.Shown())
	}
	return r
}
