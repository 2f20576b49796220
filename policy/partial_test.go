package policy

import (
	"reflect"
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
)

func TestJudgePart(t *testing.T) {
	base := []string{"Date: " + httpDate(0), "Cache-Control: max-age=60", `ETag: "a"`}
	tests := []struct {
		about  string
		status int
		header []string
		length int64
		route  Route
		max    int64
		reason Reason
	}{
		{"a part (RFC 9111 §3.3)", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 0, NoReason},
		{"its length is not known yet", 206, []string{"Content-Range: bytes 0-4/10"}, -1, Route{}, 0, NoReason},
		{"its length is another", 206, []string{"Content-Range: bytes 0-4/10"}, 4, Route{}, 0, Partial},
		{"several parts (RFC 9110 §15.3.7.2)", 206, []string{"Content-Type: multipart/byteranges; boundary=x"}, 5, Route{}, 0, Partial},
		{"of a whole of unknown size", 206, []string{"Content-Range: bytes 0-4/*"}, 5, Route{}, 0, Partial},
		{"in another unit", 206, []string{"Content-Range: items 0-4/10"}, 5, Route{}, 0, Partial},
		{"a 200 is none", 200, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 0, RangeRequest},
		{"nor is 416, whatever its lifetime (RFC 9110 §15.5.17)", 416, []string{"Content-Range: bytes */10"}, 5, Route{}, 0, RangeRequest},
		{"what must not be stored", 206, []string{"Content-Range: bytes 0-4/10", "Cache-Control: private"}, 5, Route{}, 0, private},
		{"a cookie", 206, []string{"Content-Range: bytes 0-4/10", "Set-Cookie: a=b"}, 5, Route{}, 0, setCookie},
		{"larger than max_object", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 4, TooLarge},
		{"of a whole larger than max_object", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 5, NoReason},
		{"of a whole smaller than min_bytes", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{StoreIf: StoreIf{MinBytes: 11}}, 0, TooSmall},
		{"smaller than min_bytes itself", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{StoreIf: StoreIf{MinBytes: 10}}, 0, NoReason},
	}
	for _, tt := range tests {
		f := Fetch{
			Method: "GET", Requested: epoch, Received: epoch, Status: tt.status, Header: header(append(base, tt.header...)...),
			BodyLength: tt.length, MaxObject: tt.max,
		}
		before := f.Header.Clone()
		part, v := tt.route.JudgePart(f)
		if v.Reason != tt.reason || v.Store != (tt.reason == NoReason) || v.Share {
			t.Errorf("%s: %+v", tt.about, v)
		}
		if v.Store && (part != httpcache.PartOf{Span: httpcache.Span{First: 0, Last: 4}, Size: 10} || v.Lifetime.Left(epoch) != time.Minute) {
			t.Errorf("%s: %v, %v", tt.about, part, v.Lifetime)
		}
		if !reflect.DeepEqual(before, f.Header) {
			t.Errorf("%s: the header was changed", tt.about)
		}
	}
}
