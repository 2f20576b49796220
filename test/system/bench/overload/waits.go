package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// histogram is cacheproxy_origin_queue_seconds: how many waited at most how
// long, in the order of the bounds. The last bound is negative: any time.
type histogram []bucket

type bucket struct {
	most  time.Duration
	count int64
}

func queueWaits(ctx context.Context, admin string) (histogram, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: %s", response.Status)
	}
	return parseWaits(response.Body)
}

var bucketLine = regexp.MustCompile(`^cacheproxy_origin_queue_seconds_bucket\{.*le="([^"]+)"\}\s+(\S+)$`)

func parseWaits(text io.Reader) (histogram, error) {
	var h histogram
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		sample := bucketLine.FindStringSubmatch(lines.Text())
		if sample == nil {
			continue
		}
		most := time.Duration(-1)
		if sample[1] != "+Inf" {
			seconds, err := strconv.ParseFloat(sample[1], 64)
			if err != nil {
				return nil, fmt.Errorf("parse metrics: %q: %w", lines.Text(), err)
			}
			most = time.Duration(seconds * float64(time.Second))
		}
		count, err := strconv.ParseFloat(sample[2], 64)
		if err != nil {
			return nil, fmt.Errorf("parse metrics: %q: %w", lines.Text(), err)
		}
		h = append(h, bucket{most, int64(count)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	if len(h) == 0 {
		return nil, errors.New("parse metrics: there is no cacheproxy_origin_queue_seconds")
	}
	return h, nil
}

// since is what was counted after before.
func (h histogram) since(before histogram) histogram {
	grown := make(histogram, len(h))
	for i, b := range h {
		grown[i] = bucket{b.most, b.count - before[i].count}
	}
	return grown
}
