package config

import (
	"fmt"
	"strings"
	"time"
)

// Part is a section at the top of the document.
func (s *Snapshot) Part(section string) *part { return s.doc.Part(section) }

// Entry is the upstream or route of that name in the list "upstreams" or "routes". Entry panics where there is none.
func (s *Snapshot) Entry(list, name string) *part {
	for _, p := range s.doc.sections(list) {
		if p.text("name") == name {
			return p
		}
	}
	panic(fmt.Sprintf("BUG: no entry of %s is called %s", list, name))
}

// Written lists the values in force under the keys, as a file would have them: "max_queue 256, queue_timeout 1s".
// Values that are zero, empty or false by default are left out. No keys: all keys of the part.
func (p *part) Written(keys ...string) string {
	if keys == nil {
		keys = p.keys.names()
	}
	return listed(p, keys, func(usual, none bool) bool { return !usual || !none })
}

// Unusual is Written without default values.
func (p *part) Unusual(keys ...string) string {
	return listed(p, keys, func(usual, _ bool) bool { return !usual })
}

func listed(p *part, keys []string, which func(usual, none bool) bool) string {
	var texts []string
	for _, name := range keys {
		k := p.row(name)
		value := p.inForce(k)
		if text := k.is.written(value); which(text == k.is.written(k.otherwise()), k.is.none(value)) {
			texts = append(texts, name+" "+text)
		}
	}
	return strings.Join(texts, ", ")
}

// written is the value as a file would have it, without secrets.
func (f *form) written(value any) string {
	switch value := value.(type) {
	case time.Duration:
		return DurationText(value)
	case int64:
		return SizeText(value)
	case float64:
		return ShareText(value)
	case []string:
		return "[" + strings.Join(value, ", ") + "]"
	case listOrAll:
		if value.all {
			return "all"
		}
		return "[" + strings.Join(value.names, ", ") + "]"
	case memorySize:
		return SizeText(value.bytes)
	}
	for _, word := range f.words {
		if v, _ := f.parse(word); v == value {
			return word
		}
	}
	return fmt.Sprint(f.show(value))
}

// DurationText is a duration as a file would have it, without trailing zeros.
func DurationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ShareText is a share from 0 to 1 as a file would have it.
func ShareText(share float64) string { return fmt.Sprintf("%.4g%%", share*100) }

// SizeText is a number of bytes as a file would have it, in the largest unit that divides the number.
func SizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n >= 1024 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return fmt.Sprint(n) + units[i]
}
