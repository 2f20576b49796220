package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// checkHead returns an error for a response that is not valid HTTP, and that cannot be passed on. net/http reads any three digits as a status, but
// panics when it has to write one below 100, and takes every 101 for an upgrade, whether or not one was asked for. Such a response counts as an
// error of the upstream, like a connection that breaks.
func checkHead(req *http.Request, res *http.Response) error {
	var err error
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		err = checkUpgrade(req, res)
	case res.StatusCode < 200 || res.StatusCode > 999:
		err = fmt.Errorf("read response: %03d is no status of a final response", res.StatusCode)
	default:
		err = joinNames(res.Header)
	}
	if err != nil {
		return &headError{err}
	}
	return nil
}

// headError is the error of checkHead. It does not count against the address, which has answered: a client that knows a request to which the service
// sends such a response must not be able to have the address ejected.
type headError struct{ err error }

func (e *headError) Error() string { return e.err.Error() }

func (e *headError) Unwrap() error { return e.err }

// fault is err, or nil if the error does not count against the address.
func fault(err error) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(*headError)) {
		return nil
	}
	return err
}

// checkUpgrade reports what is wrong with a 101: its Upgrade must name protocols, and only some that the request has offered (RFC 9110 §7.8).
func checkUpgrade(req *http.Request, res *http.Response) error {
	chosen := UpgradeProtocols(res.Header["Upgrade"])
	if len(chosen) == 0 {
		return errors.New("read response: 101 without a protocol")
	}
	offered := UpgradeProtocols(req.Header["Upgrade"])
	for _, protocol := range chosen {
		if !slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, protocol) }) {
			return fmt.Errorf("read response: 101 to %q where %q was offered", protocol, offered)
		}
	}
	if _, ok := res.Body.(io.ReadWriteCloser); !ok {
		return errors.New("read response: 101 without Connection: Upgrade")
	}
	return nil
}

// UpgradeProtocols are the elements of an Upgrade field.
func UpgradeProtocols(lines []string) []string {
	return slices.DeleteFunc(slices.Collect(httpcache.Elements(lines)), func(element string) bool { return element == "" })
}
