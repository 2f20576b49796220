// Firsthour is what docs/first-hour.md puts the proxy in front of and behind: an API of its own, and clients of it.
//
//	go run ./test/firsthour api       # serves the API
//	go run ./test/firsthour clients   # asks the API and the proxy the same, and compares what they say
//
// The API is of the kind that exists: what it answers depends on more than it says in Vary. The clients ask the same each time that
// they are started, one request after another, so that what the proxy counts of them is the same each time.
//
//	api.go      the API
//	clients.go  what the clients ask
//	compare.go  what they notice
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "firsthour:", err)
		os.Exit(1)
	}
}

func run() error {
	flags := flag.NewFlagSet("firsthour", flag.ContinueOnError)
	at := flags.String("api", "127.0.0.1:9000", "address of the API")
	proxy := flags.String("proxy", "127.0.0.1:8080", "address of the proxy")
	if len(os.Args) < 2 {
		return fmt.Errorf("say what to run: api or clients")
	}
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	switch os.Args[1] {
	case "api":
		return serve(*at)
	case "clients":
		return compare("http://"+*at, "http://"+*proxy)
	default:
		return fmt.Errorf("%q is neither api nor clients", os.Args[1])
	}
}

func serve(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("open listener of the API: %w", err)
	}
	fmt.Printf("the API is on http://%v\n", l.Addr())
	server := &http.Server{Handler: newAPI(), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(l)
}
