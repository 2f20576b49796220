package policy

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestQueryApply(t *testing.T) {
	list := Query{Include: []string{"page", "sort"}}
	drop := Query{Include: []string{"page", "sort"}, Unlisted: UnlistedDrop}
	sorted := Query{Include: []string{"page", "sort"}, Sort: true}
	exclude := Query{Exclude: []string{"utm_*", "fbclid"}, Unlisted: UnlistedKey}
	verbatim := Query{Unlisted: UnlistedKey}
	for _, c := range []struct {
		name   string
		query  Query
		in     string
		want   string
		reason Reason
	}{
		{"nothing to list", Query{}, "", "", NoReason},
		{"zero value", Query{}, "a=1", "", queryUnlisted},
		{"listed", list, "sort=x&page=2", "sort=x&page=2", NoReason},
		{"unlisted", list, "page=2&x=1", "", queryUnlisted},
		{"case counts", list, "Page=2", "", queryUnlisted},
		{"brackets are another name", list, "page[]=2", "", queryUnlisted},
		{"names unescaped, bytes kept", list, "p%61ge=%32", "p%61ge=%32", NoReason},
		{"escaped ampersand is no separator", list, "page=1%26x=2", "page=1%26x=2", NoReason},
		{"escaped equals sign belongs to the name", list, "page%3D1", "", queryUnlisted},
		{"duplicates keep their order", list, "page=2&page=1", "page=2&page=1", NoReason},
		{"empty piece", list, "page=2&", "", queryUnlisted},
		{"dropped", drop, "x=1&page=2&&utm=1", "page=2", NoReason},
		{"all dropped", drop, "x=1", "", NoReason},
		{"sorted", sorted, "sort=x&page=2&sort=a&p%61ge=1", "page=2&p%61ge=1&sort=x&sort=a", NoReason},
		{"sorted already", sorted, "page=2&sort=x", "page=2&sort=x", NoReason},
		{"only sorted", Query{Sort: true, Unlisted: UnlistedKey}, "b&a=1&&c", "&a=1&b&c", NoReason},
		{"excluded", exclude, "a=1&utm_source=x&fbclid=y&fbclid2=z&%75tm_=1", "a=1&fbclid2=z", NoReason},
		{"include wins", Query{Include: []string{"utm_id"}, Exclude: []string{"utm_*"}}, "utm_id=1&utm_x=2", "utm_id=1", NoReason},
		{"prefix in include", Query{Include: []string{"f_*"}}, "f_a=1&f_=2", "f_a=1&f_=2", NoReason},
		{"everything", Query{Include: []string{"*"}}, "a=1&b", "a=1&b", NoReason},
		{"plus is a space in names", Query{Include: []string{"a b"}}, "a+b=1&a%20b=2", "a+b=1&a%20b=2", NoReason},
		{"bad escape in the name", drop, "pa%zge=1", "", queryMalformed},
		{"bad escape in a dropped value", drop, "x=%4", "", queryMalformed},
		{"semicolon", drop, "page=1;x=2", "", queryMalformed},
		{"hash", drop, "page=1#x", "", queryMalformed},
		{"control byte", drop, "page=1\x00", "", queryMalformed},
		{"malformed before unlisted", list, "x=1&page=%", "", queryMalformed},
		{"1000 parameters", drop, strings.Repeat("x&", 999) + "page=1", "page=1", NoReason},
		{"1001 parameters", drop, strings.Repeat("x&", 1000) + "page=1", "", queryMalformed},
		{"passed whole", verbatim, "a=%zz;b&&\x00", "a=%zz;b&&\x00", NoReason},
	} {
		got, reason := c.query.Apply(c.in)
		if got != c.want || reason != c.reason {
			t.Errorf("%s: %.60q, %q, want %.60q, %q", c.name, got, reason, c.want, c.reason)
		}
	}
}

func TestQueryApplyDoesNotAllocateWithoutChange(t *testing.T) {
	q := Query{Include: []string{"page", "sort", "f_*"}, Sort: true}
	if n := testing.AllocsPerRun(100, func() { q.Apply("f_%61=1&page=2&page=1&sort=x") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzQuery holds Apply against net/url: what is forwarded is exactly the listed parameters, value for value, and
// applying it again changes nothing.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "b&a&utm_x=1", "a=%41;b", "a%3d=1&&=", "a+b=%20+", "%61=1&A=2&a=3"} {
		f.Add(s, uint8(1), true)
		f.Add(s, uint8(0), false)
	}
	f.Fuzz(func(t *testing.T, raw string, unlisted uint8, sort bool) {
		q := Query{Include: []string{"a", "b*"}, Exclude: []string{"utm_*", "bx"}, Sort: sort, Unlisted: Unlisted(unlisted % 3)}
		got, reason := q.Apply(raw)
		if reason != NoReason {
			if got != "" {
				t.Fatalf("%q: forwarded %q with reason %s", raw, got, reason)
			}
			return
		}
		before, err1 := url.ParseQuery(raw)
		after, err2 := url.ParseQuery(got)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q accepted, but net/url says %v, %v", raw, err1, err2)
		}
		for name := range before {
			keep := name == "a" || strings.HasPrefix(name, "b") || q.Unlisted == UnlistedKey && !strings.HasPrefix(name, "utm_")
			if q.Unlisted == UnlistedBypass && !keep && !strings.HasPrefix(name, "utm_") {
				t.Fatalf("%q: unlisted %q let through", raw, name)
			}
			if !keep {
				delete(before, name)
			}
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q gives %q: parameters %v, want %v", raw, got, after, before)
		}
		pieces := strings.Split(raw, "&")
		for piece := range strings.SplitSeq(got, "&") {
			if got != "" && !slices.Contains(pieces, piece) {
				t.Fatalf("%q gives %q: piece %q is not as it came", raw, got, piece)
			}
		}
		if again, reason := q.Apply(got); again != got || reason != NoReason {
			t.Fatalf("%q gives %q, and that %q, %s", raw, got, again, reason)
		}
	})
}
