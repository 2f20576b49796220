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

// checkHead refuses a response that no client can be given. net/http reads any three digits as a status, and panics
// when it has to write a status below 100. net/http also takes every 101 for an upgrade, whether or not the request
// asked for one. Such a response is an error of the upstream, like a connection that breaks.
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

// headError is the error of an invalid response. The address that sent it works. A client who knows which service
// answers wrongly must not be able to eject the address.
type headError struct{ err error }

func (e *headError) Error() string { return e.err.Error() }

func (e *headError) Unwrap() error { return e.err }

// fault returns the part of an error that speaks against the address: nil for a headError.
func fault(err error) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(*headError)) {
		return nil
	}
	return err
}

// checkUpgrade reports why a 101 is invalid. A 101 names the protocols in use from here on, which must be among those
// that the request has offered (RFC 9110 §7.8).
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

// UpgradeProtocols returns the elements of an Upgrade field.
func UpgradeProtocols(lines []string) []string {
	return slices.DeleteFunc(slices.Collect(httpcache.Elements(lines)), func(element string) bool { return element == "" })
}
