package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"cacheproxy/test/servers"
)

// limitCommand is the argument that makes this program one of the servers below, so that the server can be pinned like
// any other.
const limitCommand = "serve-limit"

// The servers that this program can be.
const (
	bareLoop     = "loop"
	plainHTTP    = "net/http"
	reverseProxy = "ReverseProxy"
)

// serveLimit serves until the process is ended.
func serveLimit(args []string) error {
	flags := flag.NewFlagSet(limitCommand, flag.ContinueOnError)
	kind := flags.String("kind", bareLoop, "")
	origin := flags.String("origin", "", "")
	bodiesAt := flags.String("valkey", "", "")
	cert, key := flags.String("cert", "", ""), flags.String("key", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve %s: %w", *kind, err)
	}
	fmt.Printf("listening on %s.\n", listener.Addr())
	if *kind == bareLoop {
		return new(loop).serve(listener)
	}
	if *kind == bareGet {
		return serveBareGet(listener, *bodiesAt)
	}
	handler := http.Handler(http.HandlerFunc(constant))
	if *kind == reverseProxy {
		if handler, err = newReverseProxy(*origin); err != nil {
			return err
		}
	}
	server := &http.Server{Handler: handler}
	if *cert != "" {
		return server.ServeTLS(listener, *cert, *key)
	}
	return server.Serve(listener)
}

// constant answers like the loop, by way of net/http.
func constant(w http.ResponseWriter, r *http.Request) {
	size, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, ok := bodies[size]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "max-age=86400")
	h.Set("Etag", etag)
	if r.Header.Get("If-None-Match") != "" {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", size)
	io.WriteString(w, body)
}

var bodies = func() map[string]string {
	made := map[string]string{}
	for _, size := range sizes {
		made[strconv.Itoa(size)] = strings.Repeat("x", size)
	}
	return made
}()

func newReverseProxy(origin string) (http.Handler, error) {
	target, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", reverseProxy, err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	return proxy, nil
}

// startLimit starts this program as a server of the given kind.
func startLimit(ctx context.Context, kind string, core string, args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	command := pinned(core, append([]string{self, limitCommand, "--kind", kind}, args...)...)
	process, err := servers.StartProcess(ctx, servers.Command{Path: command[0], Args: command[1:], Ready: ".\n"})
	if err != nil {
		return nil, err
	}
	address := listening.FindStringSubmatch(process.Output())
	if address == nil {
		return nil, errors.Join(fmt.Errorf("start %s: it does not say where it listens: %q", kind, process.Output()), process.Stop())
	}
	return &server{process: process, address: address[1]}, nil
}

var listening = regexp.MustCompile(`listening on (\S+)\.\n`)

// limit is a peer that does not cache.
func limit(kind string, needs func(load) bool) peer {
	return peer{
		name: kind, limit: true,
		start: func(ctx context.Context, b *bed, _ string) (*server, error) {
			args := []string{"--origin", "http://" + b.origin.address}
			if b.load.tls {
				args = append(args, "--cert", b.cert, "--key", b.key)
			}
			return startLimit(ctx, kind, b.cores.Server, args...)
		},
		unable: func(l load) string {
			if !needs(l) {
				return "no limit of this load"
			}
			return ""
		},
	}
}
