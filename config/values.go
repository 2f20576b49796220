package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/writebehind"
)

// memorySize is a size in bytes, or auto.
type memorySize struct {
	auto  bool
	bytes int64
}

// cacheStatus is the content of Cache-Status for clients. The zero value is everything but the storage key.
type cacheStatus struct {
	Off bool // no field at all
	Key bool // with the storage key
}

// maxDuration keeps sums of a few durations and a date far from overflow.
const maxDuration = 10 * 365 * 24 * time.Hour

// choice is one word of a closed vocabulary.
type choice[T any] struct {
	name  string
	value T
}

var (
	kinds = []choice[policy.Kind]{
		{"cache-aside", policy.CacheAside}, {"read-through", policy.ReadThrough},
		{"write-through", policy.WriteThrough}, {"refresh-ahead", policy.RefreshAhead}, {"write-behind", policy.WriteBehind}, {"leaderboard", policy.Leaderboard}, {"bypass", policy.Bypass},
	}
	modes            = []choice[policy.Mode]{{"on", policy.On}, {"observe", policy.Observe}, {"off", policy.Off}}
	forwardings      = []choice[policy.Forwarding]{{"listed", policy.ForwardListed}, {"all", policy.ForwardAll}}
	onWrites         = []choice[policy.OnWrite]{{"invalidate", policy.OnWriteInvalidate}, {"store", policy.OnWriteStore}}
	failedWrites     = []choice[policy.FailedWrite]{{"invalidate", policy.FailedInvalidate}, {"keep", policy.FailedKeep}}
	clientDirectives = []choice[policy.ClientDirectives]{{"ignore", policy.IgnoreClient}, {"honor", policy.HonorClient}}
	compressions     = []choice[httpcache.Coding]{
		{"none", httpcache.Identity}, {"zstd", httpcache.Zstd}, {"gzip", httpcache.Gzip}, {"br", httpcache.Brotli},
	}
	storeDowns = []choice[bool]{{"reject", true}, {"forward", false}}
	unlisteds  = []choice[policy.Unlisted]{
		{"bypass", policy.UnlistedBypass}, {"drop", policy.UnlistedDrop}, {"key", policy.UnlistedKey},
	}
	behindDurabilities = []choice[writebehind.Durability]{{"fsync", writebehind.Fsync}, {"replicas", writebehind.Replicas}}
	behindRetries      = []choice[bool]{{"safe", false}, {"idempotency-key", true}}
	readPendings       = []choice[writebehind.ReadPending]{
		{"stale", writebehind.Stale}, {"wait", writebehind.Wait}, {"overlay", writebehind.Overlay},
	}
	rangeFetches  = []choice[policy.RangeFetch]{{"whole", policy.RangeWhole}, {"part", policy.RangePart}}
	leaseLosses   = []choice[policy.LeaseLoss]{{"origin", policy.LeaseLossOrigin}, {"serve_stale", policy.LeaseLossServeStale}}
	cacheStatuses = []choice[cacheStatus]{{"on", cacheStatus{}}, {"off", cacheStatus{Off: true}}, {"key", cacheStatus{Key: true}}}
	logFormats    = []choice[LogFormat]{{"json", LogJSON}, {"text", LogText}, {"off", LogOff}}
	logFields     = []choice[bool]{{"short", false}, {"otel", true}}
	logLevels     = []choice[slog.Level]{
		{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError},
	}
	overrides = []choice[policy.Override]{
		{"max-age", policy.OverrideMaxAge}, {"s-maxage", policy.OverrideSMaxAge}, {"expires", policy.OverrideExpires},
		{"no-cache", policy.OverrideNoCache}, {"no-store", policy.OverrideNoStore},
		{"private", policy.OverridePrivate}, {"must-revalidate", policy.OverrideMustRevalidate},
		{"set-cookie", policy.OverrideSetCookie}, {"malformed", policy.OverrideMalformed},
	}
)

// overrideNames are the words of the configuration for the set o.
func overrideNames(o policy.Override) (names []string) {
	for _, c := range overrides {
		if o.Has(c.value) {
			names = append(names, c.name)
		}
	}
	return names
}

// pick is the value of the word text.
func pick[T any](text string, choices []choice[T]) (value T, err error) {
	names := make([]string, len(choices))
	for i, c := range choices {
		if c.name == text {
			return c.value, nil
		}
		names[i] = c.name
	}
	return value, errors.New("is not known here; write " + oneOf(names))
}

// word is the word of the configuration for a value.
func word[T comparable](choices []choice[T], value T) string {
	for _, c := range choices {
		if c.value == value {
			return c.name
		}
	}
	return ""
}

// oneOf joins words as "a, b or c".
func oneOf(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errors.New("is not true or false; write true or false")
	}
	return text == "true", nil
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, errors.New("is not a whole number; write one such as 100")
	}
	return n, nil
}

var (
	digits = regexp.MustCompile(`^[0-9]+$`)
	days   = regexp.MustCompile(`^([0-9]{1,4})d$`)
)

func parseDuration(text string) (time.Duration, error) {
	if digits.MatchString(text) {
		return 0, fmt.Errorf("has no unit; write %ss for seconds, or 10m", text)
	}
	if m := days.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // four digits at most
		return 0, fmt.Errorf("is in days, which are not a unit here; write %dh", n*24)
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("is not a duration; write 10m or 600s")
	case d < 0:
		return 0, errors.New("is negative; write a duration such as 10m")
	case d > maxDuration:
		return 0, errors.New("is longer than ten years; write 87600h at most")
	}
	return d, nil
}

var (
	sizeForm = regexp.MustCompile(`^([0-9]+)([A-Za-z]*)$`)
	// likelyUnits are the most likely units, by the lower-case first letter of an unknown unit.
	likelyUnits = map[string]string{"k": "KiB", "g": "GiB", "t": "TiB"}
	units       = map[string]int64{
		"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
)

func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("is not a size; write 64KiB or 512MiB")
	}
	unit, known := units[m[2]]
	switch {
	case m[2] == "":
		return 0, fmt.Errorf("has no unit; write %sMiB or %sB", m[1], m[1])
	case !known:
		return 0, fmt.Errorf("has an unknown unit; write %s%s, or any of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB", m[1],
			cmp.Or(likelyUnits[strings.ToLower(m[2][:1])], "MiB"))
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, errors.New("is larger than any memory; write 512MiB")
	}
	return n * unit, nil
}

// parseBytes is parseSize with an optional unit.
func parseBytes(text string) (int64, error) {
	if digits.MatchString(text) {
		text += "B"
	}
	return parseSize(text)
}

func parseMemory(text string) (memorySize, error) {
	if text == "auto" {
		return memorySize{auto: true}, nil
	}
	n, err := parseSize(text)
	if err != nil {
		return memorySize{}, fmt.Errorf("%w, or auto", err)
	}
	return memorySize{bytes: n}, nil
}

var shareForm = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?$`)

// parseShare reads a percentage as a number from 0 to 1.
func parseShare(text string) (float64, error) {
	number, hasUnit := strings.CutSuffix(text, "%")
	if !shareForm.MatchString(number) {
		return 0, errors.New("is not a percentage; write 10%")
	}
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return 0, errors.New("is not a percentage; write 10%")
	case !hasUnit && n <= 1:
		return 0, fmt.Errorf("has no unit; write %v%%", n*100)
	case !hasUnit:
		return 0, fmt.Errorf("has no unit; write %v%%", n)
	case n > 100:
		return 0, errors.New("is more than 100%; write 0% to 100%")
	}
	return n / 100, nil
}

// The expressions for texts of which not all are accepted.
var (
	// nameForm matches names of routes, upstreams and tokens, which become metric labels and parts of URLs.
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	// keyPrefix excludes braces, which would decide where a cluster keeps a key.
	keyPrefix = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)
	// hostForm matches a Host: a name or an address, and perhaps a port (RFC 9110 §7.2).
	hostForm = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	// serverName matches a DNS name or an address that a certificate can be for.
	serverName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*|[0-9A-Fa-f:.]+)$`)
	// tagPrefix excludes characters that separate tags, and the * of patterns, which has no meaning here.
	tagPrefix = regexp.MustCompile(`^[^\s,*]+$`)
	// statusPath matches a path below which the proxy has resources of its own.
	statusPath = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)+$`)
	// healthPath matches an absolute path, perhaps with a query, as the request has it.
	healthPath = regexp.MustCompile(`^/[!-~]*$`)
	// urlTemplate matches the beginning of a template of a path or URL. pathTemplate excludes queries, for prefixes,
	// which cover every query.
	urlTemplate  = regexp.MustCompile(`^(/|https?://)`)
	pathTemplate = regexp.MustCompile(`^[^?]*$`)
	// mediaType matches a media type or a family of media types (RFC 9110 §8.3.1).
	mediaType = regexp.MustCompile(`^(?i)[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\*)$`)
	// token matches names of header fields and cookies (RFC 9110 §5.6.2). headerName is token without *, which stands
	// for several names in keys.
	token      = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	headerName = regexp.MustCompile("^[!#$%&'+.^_`|~0-9A-Za-z-]+$")
)

// notAnAddress refuses texts that are not host:port.
func notAnAddress(value any) string {
	_, port, err := net.SplitHostPort(value.(string))
	if err != nil {
		return quote(value.(string)) + " is not an address; write 127.0.0.1:8080, or :8080 for every interface"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return quote(value.(string)) + " has no port between 0 and 65535; write 127.0.0.1:8080"
	}
	return ""
}

// privateNetworks are the addresses that no host on the internet has: RFC 1918, RFC 4193, and this machine. The
// networks of a link (RFC 3927, RFC 4291 §2.5.6) and of carriers (RFC 6598) are left out: strangers may have addresses
// there.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
}

// parseNetworks reads a network, a single address, or the word private.
func parseNetworks(text string) ([]netip.Prefix, error) {
	if text == "private" {
		return privateNetworks, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return []netip.Prefix{netip.PrefixFrom(address.Unmap().WithZone(""), address.Unmap().BitLen())}, nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, errors.New("is not a network; write 10.0.0.0/8, a single address, or private")
	}
	return []netip.Prefix{prefix.Masked()}, nil
}

// aNameOf is the form of names of one kind. family is an example of a beginning with a * at its end; empty: no * is
// allowed. all is the setting to write instead of a lone *.
func aNameOf(what, example, family, all string) *form {
	return one("text", func(text string) (string, error) {
		prefix := strings.TrimSuffix(text, "*")
		switch {
		case text == "*" && all != "":
			return "", fmt.Errorf("stands for every %s; write %s", what, all)
		case strings.Contains(text, "*") && family == "":
			return "", fmt.Errorf("has a *, but each %s is named by itself here; write a name such as %s", what, example)
		case strings.Contains(prefix, "*"):
			return "", fmt.Errorf("has a * that is not at the end; write the name of a %s, or the beginning of some such as %s", what, family)
		case text == "", what != "parameter" && !headerName.MatchString(prefix): // a parameter may have any name
			return "", fmt.Errorf("is not the name of a %s; write one such as %s", what, example)
		}
		return text, nil
	}, asItIs)
}

// parseTarget checks the name of a field with directives for caches like this one (RFC 9213 §2.2).
func parseTarget(text string) (string, error) {
	canonical := http.CanonicalHeaderKey(text)
	if !headerName.MatchString(text) || canonical != httpcache.TargetSurrogate && !strings.HasSuffix(canonical, "-Cache-Control") {
		return "", errors.New("is not a field with directives for some caches; write CDN-Cache-Control, another that ends in -Cache-Control, or Surrogate-Control")
	}
	return text, nil
}
