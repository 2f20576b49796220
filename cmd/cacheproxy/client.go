package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"cacheproxy/cmd/cacheproxy/instance"

	"github.com/spf13/cobra"
)

const (
	defaultAdminURL = "http://127.0.0.1:8081"
	maxAdminAnswer  = 16 << 20 // bytes
)

// adminFlags have the address of a running proxy's admin listener, and the caller's token.
type adminFlags struct {
	url, tokenFile string
}

func (f *adminFlags) register(cmd *cobra.Command) {
	address := defaultAdminURL
	if fromEnv := os.Getenv("CACHEPROXY_ADMIN"); fromEnv != "" {
		address = fromEnv
	}
	cmd.Flags().StringVar(&f.url, "admin", address, "URL of the proxy's admin listener (or CACHEPROXY_ADMIN)")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file that holds the token (or the token itself in CACHEPROXY_ADMIN_TOKEN)")
}

// read returns the base URL of calls, and the token; an empty token: none.
func (f *adminFlags) read() (base, token string, err error) {
	u, err := url.Parse(f.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return "", "", fmt.Errorf("--admin %q is not a URL such as %s", f.url, defaultAdminURL)
	}
	token = os.Getenv("CACHEPROXY_ADMIN_TOKEN")
	if f.tokenFile != "" {
		content, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", "", fmt.Errorf("read token: %w", err)
		}
		if token = strings.TrimSpace(string(content)); token == "" {
			return "", "", fmt.Errorf("token file %s is empty", f.tokenFile)
		}
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), token, nil
}

// adminClient uses no proxy from the environment and follows no redirects: the token is for the admin listener only.
var adminClient = &http.Client{
	Timeout:       instance.LongestAnswer,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// adminAnswer is an answer of the listener.
type adminAnswer struct {
	status int
	body   []byte
}

// call makes one call. path is raw; a body other than nil is sent as JSON. An error means that there is no answer. An
// answer with an error status is no error.
func (f *adminFlags) call(ctx context.Context, method, path string, body any) (adminAnswer, error) {
	base, token, err := f.read()
	if err != nil {
		return adminAnswer{}, err
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return adminAnswer{}, fmt.Errorf("encode call: %w", err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, content)
	if err != nil {
		return adminAnswer{}, fmt.Errorf("make call: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := adminClient.Do(req)
	if err != nil {
		return adminAnswer{}, fmt.Errorf("call the proxy, is it running and is --admin right? %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAdminAnswer))
	if err != nil {
		return adminAnswer{}, fmt.Errorf("read answer: %w", err)
	}
	return adminAnswer{res.StatusCode, answer}, nil
}

// ask makes one call and returns the content of a 200 answer. Any other answer is an error.
func (f *adminFlags) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	answer, err := f.call(ctx, method, path, body)
	if err == nil && answer.status != http.StatusOK {
		err = answer.problem()
	}
	return answer.body, err
}

// problem is the answer as an error: the proxy's own words, and the flag for the token where a token is missing.
func (a adminAnswer) problem() error {
	var said struct {
		Error string `json:"error"`
	}
	if a.status == http.StatusBadRequest && bytes.Contains(a.body, []byte("HTTP request to an HTTPS server")) {
		return errors.New("the admin listener speaks TLS: give --admin, or CACHEPROXY_ADMIN, a URL that begins with https://")
	}
	if err := json.Unmarshal(a.body, &said); err != nil || said.Error == "" {
		return fmt.Errorf("the proxy answered %d %s", a.status, http.StatusText(a.status))
	}
	if a.status == http.StatusUnauthorized {
		return fmt.Errorf("%s: use --token-file or CACHEPROXY_ADMIN_TOKEN", said.Error)
	}
	return errors.New(said.Error)
}
