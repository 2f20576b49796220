package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// texts is a list of texts.
type texts []string

// oneOrMore is a list of texts of which a single one may stand without brackets.
type oneOrMore []string

// namesOrAll is a list of names, or the word all.
type namesOrAll struct {
	all   bool
	names texts
}

// keysOf lists the keys of a section in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			keys = append(keys, keysOf(f.Type)...)
		} else {
			keys = append(keys, f.Tag.Get("key"))
		}
	}
	return keys
}

// fieldOf is the field of section v that key names.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if inner, ok := fieldOf(v.Field(i), key); ok {
				return inner, true
			}
		} else if f.Tag.Get("key") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// isSection reports whether fields of type t have keys of their own.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[memorySize]() && t != reflect.TypeFor[namesOrAll]()
}

// scalarPaths lists the paths of all single values of a section that are not in a list.
func scalarPaths(t reflect.Type, path string) []string {
	var paths []string
	for i := range t.NumField() {
		f := t.Field(i)
		name := join(path, f.Tag.Get("key"))
		switch {
		case isSection(f.Type):
			paths = append(paths, scalarPaths(f.Type, name)...)
		case f.Type.Kind() != reflect.Slice && f.Type.Kind() != reflect.Map:
			paths = append(paths, name)
		}
	}
	return paths
}

// scalarAt is the field that a path of scalarPaths names.
func scalarAt(v reflect.Value, path string) reflect.Value {
	for key := range strings.SplitSeq(path, ".") {
		v, _ = fieldOf(v, key)
	}
	return v
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func join(path, key string) string {
	if !plainKey.MatchString(key) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
