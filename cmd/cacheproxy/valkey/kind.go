package valkey

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"
	copies "cacheproxy/store/valkey"

	client "github.com/valkey-io/valkey-go"
)

// The kinds of errors: a closed vocabulary, for metrics.
const (
	kindTimeout   = "timeout"   // no answer in time
	kindRefused   = "refused"   // no connection
	kindClosed    = "closed"    // the connection broke off
	kindDropped   = "dropped"   // too many operations were under way
	kindGarbled   = "garbled"   // the content cannot be parsed
	kindSignature = "signature" // not written by an instance with a secret
	kindForeign   = "foreign"   // a writer other than an instance has written to the log
	kindOther     = "other"
)

// replies are the beginnings of error replies, with their kinds.
var replies = []struct{ begins, kind string }{
	{"READONLY", "readonly"}, {"NOREPLICAS", "noreplicas"}, {"OOM", "oom"}, {"NOPERM", "noperm"}, {"NOAUTH", "noperm"},
	{"WRONGPASS", "noperm"}, {"ERR ACL failure", "noperm"}, {"LOADING", "loading"}, {"BUSY", "busy"}, {"MISCONF", "misconf"}, {"CLUSTERDOWN", "down"},
	{"MASTERDOWN", "down"},
}

// Kinds lists every result of Kind but the empty one.
func Kinds() []string {
	return []string{kindTimeout, kindRefused, kindClosed, "readonly", "noreplicas", "oom", "noperm", "loading", "busy", "misconf", "down", kindDropped, kindGarbled, kindSignature, kindForeign, kindOther}
}

// Kind is the kind of an error in metrics. Empty: no error, or this process broke the operation off.
func Kind(err error) string {
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	if reply, is := errors.AsType[*client.ValkeyError](err); is {
		if reply.IsNil() {
			return ""
		}
		said := strings.TrimPrefix(reply.Error(), "EXECABORT Transaction discarded because of: ")
		for _, r := range replies {
			if strings.HasPrefix(said, r.begins) {
				return r.kind
			}
		}
		return kindOther
	}
	var network net.Error
	var dial *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return kindTimeout
	case errors.Is(err, store.ErrBusy):
		return kindDropped
	case errors.Is(err, copies.ErrGarbled):
		return kindGarbled
	case errors.Is(err, valkey.ErrSignature):
		return kindSignature
	case errors.Is(err, valkey.ErrForeign):
		return kindForeign
	case errors.Is(err, valkey.ErrNotConnected), errors.As(err, &dial) && dial.Op == "dial":
		return kindRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, client.ErrClosing), errors.Is(err, net.ErrClosed), dial != nil:
		return kindClosed
	}
	return kindOther
}
