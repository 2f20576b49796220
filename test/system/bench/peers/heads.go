package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Bounds of the heads' lengths. The heads are those of browsers and SDKs as caches see them: with fields of a trace,
// without cookies.
const (
	realisticHeads = 1000
	shortestHead   = 400
	longestHead    = 900
)

// constantHead is the head that load generators send by default.
const constantHead = "Host: shop.example\r\n\r\n"

// client is a kind of program that sends requests.
type client struct {
	agent  string
	accept []string
	coding string
	hints  string // sec-ch-ua, of Chromium only
	page   bool   // a browser, with languages, a referring page, and Fetch Metadata
}

var browserAccept = []string{
	"*/*",
	"application/json, text/plain, */*",
	"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
}

var clients = []client{
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36", browserAccept,
		"gzip, deflate, br, zstd", `"Not)A;Brand";v="8", "Chromium";v="138", "Google Chrome";v="138"`, true},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36", browserAccept,
		"gzip, deflate, br, zstd", `"Google Chrome";v="137", "Chromium";v="137", "Not/A)Brand";v="24"`, true},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", browserAccept,
		"gzip, deflate, br, zstd", `"Not)A;Brand";v="8", "Chromium";v="138", "Microsoft Edge";v="138"`, true},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", browserAccept, "gzip, deflate, br, zstd", "", true},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0", browserAccept, "gzip, deflate, br, zstd", "", true},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
		browserAccept, "gzip, deflate, br", "", true},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
		browserAccept, "gzip, deflate, br", "", true},
	{"okhttp/4.12.0 ShopApp/7.31.2 (Android 14; SDK 34; arm64-v8a; samsung SM-S911B; build 70312044)", []string{"application/json"}, "gzip", "", false},
	{"ShopApp/7.31 (com.example.shop; build:7310; iOS 18.5.0) Alamofire/5.9.1", []string{"application/json"}, "br;q=1.0, gzip;q=0.9, deflate;q=0.8", "", false},
	{"aws-sdk-java/2.25.60 Linux/6.1.0 OpenJDK_64-Bit_Server_VM/21.0.3+9-LTS Java/21.0.3 vendor/Eclipse_Adoptium io/sync http/Apache cfg/retry-mode/standard",
		[]string{"application/json"}, "gzip, x-gzip, deflate", "", false},
	{"axios/1.7.2 (node 20.14.0; linux x64)", []string{"application/json, text/plain, */*"}, "gzip, compress, deflate, br", "", false},
	{"python-requests/2.32.3 CPython/3.12.4 Linux/6.1.0-28-cloud-amd64", []string{"*/*"}, "gzip, deflate, br, zstd", "", false},
}

var languages = []string{
	"en-US,en;q=0.9", "en-GB,en;q=0.9,en-US;q=0.8", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "fr-FR,fr;q=0.9,en;q=0.8", "pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7",
	"es-ES,es;q=0.9", "ja,en-US;q=0.9,en;q=0.8", "nl-NL,nl;q=0.9,en;q=0.8", "pl-PL,pl;q=0.9,en-US;q=0.8,en;q=0.7", "it-IT,it;q=0.9,en-US;q=0.8",
}

// unlisted are the fields of the heads that a cache might think choose an answer. No answer here depends on them.
var unlisted = []string{"Sec-*", "Dnt", "Priority", "Upgrade-Insecure-Requests", "Save-Data", "Baggage"}

// makeHeads makes heads from Host on, without the request line, each with a unique trace and request id. Equal seeds
// make equal heads.
func makeHeads(count int, seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	heads := make([]string, count)
	for i := range heads {
		heads[i] = makeHead(r, clients[r.IntN(len(clients))])
	}
	return heads
}

func makeHead(r *rand.Rand, c client) string {
	var head strings.Builder
	field := func(name, value string) { fmt.Fprintf(&head, "%s: %s\r\n", name, value) }
	field("Host", "shop.example")
	field("User-Agent", c.agent)
	field("Accept", c.accept[r.IntN(len(c.accept))])
	field("Accept-Encoding", c.coding)
	if c.page {
		pageFields(r, c, field)
	} else {
		field("Baggage", fmt.Sprintf("session.id=%016x,deployment.environment=production,app.version=7.31.%d", r.Uint64(), r.IntN(100)))
	}
	span := r.Uint64()
	field("Traceparent", fmt.Sprintf("00-%016x%016x-%016x-%02d", r.Uint64(), r.Uint64(), span, r.IntN(2)))
	if r.IntN(2) == 0 || !c.page {
		field("Tracestate", fmt.Sprintf("dd=s:1;o:rum;t.dm:-1;p:%016x,rojo=%016x", span, r.Uint64()))
	}
	field("X-Request-Id", fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Uint64()>>16))
	head.WriteString("\r\n")
	return head.String()
}

func pageFields(r *rand.Rand, c client, field func(name, value string)) {
	if c.hints != "" {
		mobile := "?0"
		if strings.Contains(c.agent, "Mobile") {
			mobile = "?1"
		}
		field("Sec-Ch-Ua", c.hints)
		field("Sec-Ch-Ua-Mobile", mobile)
		field("Sec-Ch-Ua-Platform", []string{`"Windows"`, `"Android"`, `"macOS"`, `"Linux"`}[r.IntN(4)])
	}
	field("Accept-Language", languages[r.IntN(len(languages))])
	field("Referer", fmt.Sprintf("https://shop.example/categories/%d/%s?page=%d", r.IntN(500),
		[]string{"shoes", "garden-furniture", "books-and-magazines", "kitchen"}[r.IntN(4)], r.IntN(40)))
	field("Sec-Fetch-Site", []string{"same-origin", "same-site", "cross-site"}[r.IntN(3)])
	field("Sec-Fetch-Mode", []string{"cors", "no-cors"}[r.IntN(2)])
	field("Sec-Fetch-Dest", []string{"empty", "image", "script"}[r.IntN(3)])
	if r.IntN(4) == 0 {
		field("Dnt", "1")
	}
	if r.IntN(2) == 0 {
		field("Priority", "u=1, i")
	}
}
