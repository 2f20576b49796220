package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// printOutline prints JSON as indented lines for people, in the order of the JSON. Strings with control characters are
// quoted.
func printOutline(out io.Writer, body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var o outline
	if err := o.value(dec, 0, ""); err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	_, err := io.WriteString(out, o.text.String())
	return err
}

type outline struct{ text strings.Builder }

// value writes the next value: a scalar behind its label on one line, other values below their label.
func (o *outline) value(dec *json.Decoder, depth int, label string) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		o.line(depth, label, scalar(token))
		return nil
	}
	if label != "" {
		o.line(depth, label, "")
		depth++
	}
	for dec.More() {
		child := "-"
		if token == json.Delim('{') {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			child = scalar(name) + ":"
		}
		if err := o.value(dec, depth, child); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func (o *outline) line(depth int, label, text string) {
	line := strings.Repeat("  ", depth) + label
	if text != "" && label != "" {
		line += " "
	}
	o.text.WriteString(line + text + "\n")
}

func scalar(token json.Token) string {
	switch v := token.(type) {
	case nil:
		return "none"
	case string:
		if quoted := fmt.Sprintf("%q", v); v == "" || quoted[1:len(quoted)-1] != v && strings.ContainsFunc(v, isControl) {
			return quoted
		}
		return v
	}
	return fmt.Sprint(token)
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }
