package postgres

import (
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy"
)

func texts(values ...string) []*string {
	list := make([]*string, len(values))
	for i := range values {
		if values[i] != "NULL" {
			list[i] = &values[i]
		}
	}
	return list
}

// What a row is about, it names; what is not understood stands for the table.
func TestResolve(t *testing.T) {
	m, list := mapping("product", "p:{id}", "s:{slug}", "list"), mapping("product", "list")
	const whole = "ttable:public.product"
	for _, c := range []struct {
		name   string
		id     string
		width  int
		tuples []*string
		want   string
	}{
		{"a tuple", m.ID, 2, texts("1", "a"), "tlist tp:1 ts:a"},
		{"before and after", m.ID, 2, texts("1", "a", "1", "b"), "tlist tp:1 ts:a ts:b"},
		{"NULL", m.ID, 2, texts("1", "NULL"), "tlist tp:1"},
		{"none", m.ID, 2, texts(), ""},
		{"no array", m.ID, 2, nil, whole},
		{"another width", m.ID, 1, texts("1"), whole},
		{"half a tuple", m.ID, 2, texts("1", "a", "2"), whole},
		{"no columns", list.ID, 0, texts(), "tlist"},
		{"no columns, and no array", list.ID, 0, nil, whole},
		{"another mapping of the table", "public.product#000000000000", 2, texts("1", "a"), whole},
		{"another table", "public.a#b#000000000000", 2, texts("1", "a"), "ttable:public.a#b"},
		{"by hand", "public.product", 0, nil, whole},
	} {
		members, all := Resolve([]*Mapping{m, list}, c.id, c.width, c.tuples)
		var got []string
		for _, member := range members {
			got = append(got, string(member))
		}
		if strings.Join(got, " ") != c.want || all != strings.HasPrefix(c.want, "ttable:") {
			t.Errorf("%s: %q %v, want %s", c.name, got, all, c.want)
		}
	}
	if m.Whole() != policy.Member(whole) {
		t.Error(m.Whole())
	}
}

// Whatever decides what a row carries, or what it names, is in the id, and nothing else is.
func TestIdentify(t *testing.T) {
	base := func() *Mapping { return mapping("product", "p:{id}").watching("price") }
	ids := []string{base().ID}
	for name, change := range map[string]func(*Mapping){
		"schema": func(m *Mapping) { m.Schema = "other" }, "table": func(m *Mapping) { m.Table = "other" },
		"events": func(m *Mapping) { m.On = m.On[:2] }, "columns": func(m *Mapping) { m.Watched = []string{"pri", "ce"} },
		"values":   func(m *Mapping) { m.Columns = []string{"nr"} },
		"tags":     func(m *Mapping) { m.Names.Tags = append(m.Names.Tags, m.Names.Tags[0]) },
		"keys":     func(m *Mapping) { m.Names = &policy.Invalidates{Keys: m.Names.Tags} },
		"urls":     func(m *Mapping) { m.Names = &policy.Invalidates{URLs: m.Names.Tags} },
		"prefixes": func(m *Mapping) { m.Names = &policy.Invalidates{Prefixes: m.Names.Tags} },
		"rows":     func(m *Mapping) { m.Replicated = true },
	} {
		m := base()
		change(m)
		m.Identify()
		if slices.Contains(ids, m.ID) {
			t.Errorf("another %s, and the same id", name)
		}
		ids = append(ids, m.ID)
	}
	same := base()
	same.Lossy, same.Line, same.Settle, same.Fed, same.Upstream = true, 9, 1, []string{"x"}, "x"
	if same.Identify(); same.ID != ids[0] {
		t.Error("another id for what rows do not depend on")
	}
}

// What is quoted is what it was before, whatever is in it and whatever the session has set.
func FuzzQuoting(f *testing.F) {
	for _, seed := range []string{"", "a", `"`, `'`, `\`, `\'`, `''`, "$cacheproxy$", "$cacheproxy1$$cacheproxy$", "$$", "ü\n\t", `E'`, `\x41\u0041`} {
		f.Add(seed)
	}
	conn := newDatabase(f).Conn
	f.Fuzz(func(t *testing.T, text string) {
		d := &database{tb: t, Conn: conn}
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
		for _, conforming := range []string{"on", "off"} {
			d.do("SET standard_conforming_strings = "+conforming, "SET escape_string_warning = off")
			if got := one[string](d, "SELECT "+literal(text)); got != text {
				t.Errorf("literal %q is %q", text, got)
			}
		}
		if strings.Count(dollars(text), strings.SplitAfterN(dollars(text), "$", 3)[0]+strings.SplitAfterN(dollars(text), "$", 3)[1]) != 2 {
			t.Errorf("dollars end early: %q", dollars(text))
		}
		if got := one[string](d, "SELECT "+dollars(text)); got != text {
			t.Errorf("dollars %q are %q", text, got)
		}
		name := strings.ToValidUTF8(text[:min(len(text), 63)], "")
		if name == "" {
			return
		}
		rows, err := d.Query(t.Context(), "SELECT 1 AS "+identifier(name))
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if got := rows.FieldDescriptions()[0].Name; got != name {
			t.Errorf("identifier %q is %q", name, got)
		}
	})
}
