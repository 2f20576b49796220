//go:build !linux

package instance

import "errors"

// errSharedPort is why a port cannot be shared.
var errSharedPort = errors.New("reuse_port needs Linux; remove it, or let a service manager hand over the socket")

func sharePort(int) error { return errSharedPort }

func steer(int) error { return errSharedPort }

func unsteer(int) error { return errSharedPort }

func queued(int) (int, error) { return 0, nil }
