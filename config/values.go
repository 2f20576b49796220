package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

type (
	size    int64   // bytes, written with a unit
	byteNum int64   // bytes, written with or without a unit
	ratio   float64 // 0 to 1, written as a percentage
)

// memorySize is a size, or auto.
type memorySize struct {
	auto  bool
	bytes size
}

// storeDown is what becomes of a write whose invalidation cannot be recorded beforehand.
type storeDown uint8

const (
	storeDownForward storeDown = iota
	storeDownReject
)

// maxDuration keeps sums of a few durations and a date far from overflow.
const maxDuration = 10 * 365 * 24 * time.Hour

// setScalar parses text into what dst points to. Its error follows the quoted text in a sentence.
func setScalar(dst any, text string) (err error) {
	switch dst := dst.(type) {
	case *string:
		*dst = text
	case *bool:
		*dst, err = parseBool(text)
	case *int:
		*dst, err = parseInt(text)
	case *time.Duration:
		*dst, err = parseDuration(text)
	case *size:
		*dst, err = parseSize(text)
	case *byteNum:
		*dst, err = parseByteNum(text)
	case *memorySize:
		*dst, err = parseMemorySize(text)
	case *ratio:
		*dst, err = parseRatio(text)
	default:
		return setChoice(dst, text)
	}
	return err
}

func setChoice(dst any, text string) error {
	switch dst := dst.(type) {
	case *policy.Kind:
		return pick(dst, text, kinds)
	case *policy.Mode:
		return pick(dst, text, modes)
	case *policy.Forwarding:
		return pick(dst, text, forwardings)
	case *httpcache.Coding:
		return pick(dst, text, compressions)
	case *policy.OnWrite:
		return pick(dst, text, onWrites)
	case *policy.FailedWrite:
		return pick(dst, text, failedWrites)
	case *policy.ClientDirectives:
		return pick(dst, text, clientDirectives)
	case *storeDown:
		return pick(dst, text, storeDowns)
	case *policy.Unlisted:
		return pick(dst, text, unlisteds)
	case *policy.RangeFetch:
		return pick(dst, text, rangeFetches)
	case *policy.LeaseLoss:
		return pick(dst, text, leaseLosses)
	case *durability:
		return pick(dst, text, durabilities)
	case *compress:
		return pick(dst, text, compresses)
	case *LogFormat:
		return pick(dst, text, logFormats)
	case *slog.Level:
		return pick(dst, text, logLevels)
	case *tlsVersion:
		return pick(dst, text, tlsVersions)
	}
	panic(fmt.Sprintf("BUG: document has a field of type %T, which setScalar does not know", dst))
}

// choice is one word of a closed vocabulary.
type choice[T any] struct {
	name  string
	value T
}

var (
	kinds = []choice[policy.Kind]{
		{"cache-aside", policy.CacheAside}, {"read-through", policy.ReadThrough},
		{"write-through", policy.WriteThrough}, {"refresh-ahead", policy.RefreshAhead}, {"bypass", policy.Bypass},
	}
	modes            = []choice[policy.Mode]{{"on", policy.On}, {"observe", policy.Observe}, {"off", policy.Off}}
	forwardings      = []choice[policy.Forwarding]{{"listed", policy.ForwardListed}, {"all", policy.ForwardAll}}
	onWrites         = []choice[policy.OnWrite]{{"invalidate", policy.OnWriteInvalidate}, {"store", policy.OnWriteStore}}
	failedWrites     = []choice[policy.FailedWrite]{{"invalidate", policy.FailedInvalidate}, {"keep", policy.FailedKeep}}
	clientDirectives = []choice[policy.ClientDirectives]{{"ignore", policy.IgnoreClient}, {"honor", policy.HonorClient}}
	compressions     = []choice[httpcache.Coding]{
		{"none", httpcache.Identity}, {"zstd", httpcache.Zstd}, {"gzip", httpcache.Gzip}, {"br", httpcache.Brotli},
	}
	storeDowns = []choice[storeDown]{{"reject", storeDownReject}, {"forward", storeDownForward}}
	unlisteds  = []choice[policy.Unlisted]{
		{"bypass", policy.UnlistedBypass}, {"drop", policy.UnlistedDrop}, {"key", policy.UnlistedKey},
	}
	rangeFetches = []choice[policy.RangeFetch]{{"whole", policy.RangeWhole}, {"part", policy.RangePart}}
	leaseLosses  = []choice[policy.LeaseLoss]{{"origin", policy.LeaseLossOrigin}, {"serve_stale", policy.LeaseLossServeStale}}
	logFormats   = []choice[LogFormat]{{"json", LogJSON}, {"text", LogText}, {"off", LogOff}}
	logLevels    = []choice[slog.Level]{
		{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError},
	}
	overrides = []choice[policy.Override]{
		{"max-age", policy.OverrideMaxAge}, {"s-maxage", policy.OverrideSMaxAge}, {"expires", policy.OverrideExpires},
		{"no-cache", policy.OverrideNoCache}, {"no-store", policy.OverrideNoStore},
		{"private", policy.OverridePrivate}, {"must-revalidate", policy.OverrideMustRevalidate},
		{"set-cookie", policy.OverrideSetCookie}, {"malformed", policy.OverrideMalformed},
	}
)

// OverrideNames are the words of the configuration for what o holds.
func OverrideNames(o policy.Override) (names []string) {
	for _, c := range overrides {
		if o.Has(c.value) {
			names = append(names, c.name)
		}
	}
	return names
}

func pick[T any](dst *T, text string, choices []choice[T]) error {
	names := make([]string, len(choices))
	for i, c := range choices {
		if c.name == text {
			*dst = c.value
			return nil
		}
		names[i] = c.name
	}
	return errors.New("is not known here; write " + oneOf(names))
}

// word is what a value is called in the configuration.
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
	units    = map[string]int64{
		"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
)

func parseSize(text string) (size, error) {
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
			likelyUnit(m[2]))
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, errors.New("is larger than any memory; write 512MiB")
	}
	return size(n * unit), nil
}

func likelyUnit(unit string) string {
	switch strings.ToLower(unit[:1]) {
	case "k":
		return "KiB"
	case "g":
		return "GiB"
	case "t":
		return "TiB"
	}
	return "MiB"
}

func parseByteNum(text string) (byteNum, error) {
	if digits.MatchString(text) {
		text += "B"
	}
	n, err := parseSize(text)
	return byteNum(n), err
}

func parseMemorySize(text string) (memorySize, error) {
	if text == "auto" {
		return memorySize{auto: true}, nil
	}
	n, err := parseSize(text)
	if err != nil {
		return memorySize{}, fmt.Errorf("%w, or auto", err)
	}
	return memorySize{bytes: n}, nil
}

var ratioForm = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?$`)

func parseRatio(text string) (ratio, error) {
	number, hasUnit := strings.CutSuffix(text, "%")
	if !ratioForm.MatchString(number) {
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
	return ratio(n / 100), nil
}
