package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cacheproxy/leaderboard"
)

// Shape is the JSON of answers, as templates. A name in braces stands for its value.
type Shape struct{ Board, Entry, Player, Receipt Form }

// Form is one template. A Form does not change once it is parsed.
type Form struct{ parts []string } // text and names alternate

// The names that each form may use.
var (
	BoardNames   = []string{"board", "entries", "players"}
	EntryNames   = []string{"rank", "player", "score", "at"}
	PlayerNames  = []string{"board", "rank", "player", "score", "at", "beyond"}
	ReceiptNames = []string{"board", "rank", "player", "score", "beyond"}
)

// ParseForm parses a template that has to be JSON once every name has a value.
func ParseForm(text string, names []string) (Form, error) {
	var f Form
	rest, literal := text, strings.Builder{}
	for rest != "" {
		if rest[0] == '{' {
			if name, after, ok := strings.Cut(rest[1:], "}"); ok && slices.Contains(names, name) {
				f.parts = append(f.parts, literal.String(), name)
				literal.Reset()
				rest = after
				continue
			} else if ok && plain(name) {
				return f, fmt.Errorf("has {%s}, which stands for nothing here; use {%s}", name, strings.Join(names, "}, {"))
			}
		}
		literal.WriteByte(rest[0])
		rest = rest[1:]
	}
	f.parts = append(f.parts, literal.String())
	sample := func(string) string { return `[{"text": null}]` }
	if !json.Valid(f.append(nil, sample)) {
		return f, fmt.Errorf("is not JSON once its names have values; a name stands for a whole value, without quotes, such as {\"player\": {%s}}", names[0])
	}
	return f, nil
}

// plain reports whether the text in braces can only be meant as a name.
func plain(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// uses reports whether the template has the name.
func (f Form) uses(name string) bool {
	for i := 1; i < len(f.parts); i += 2 {
		if f.parts[i] == name {
			return true
		}
	}
	return false
}

func (f Form) append(dst []byte, value func(name string) string) []byte {
	for i, part := range f.parts {
		if i%2 == 1 {
			part = value(part)
		}
		dst = append(dst, part...)
	}
	return dst
}

// DefaultShape is the shape of answers of a route without a shape.
var DefaultShape = map[string]string{
	"board":   `{"board": {board}, "players": {players}, "entries": {entries}}`,
	"entry":   `{"rank": {rank}, "player": {player}, "score": {score}, "at": {at}}`,
	"player":  `{"rank": {rank}, "player": {player}, "score": {score}, "at": {at}, "beyond": {beyond}}`,
	"receipt": `{"player": {player}, "score": {score}, "rank": {rank}, "beyond": {beyond}}`,
}

// view formats a part of a board.
func (r *Route) view(board string, v leaderboard.View) []byte {
	entries := []byte{'['}
	for i, e := range v.Entries {
		if i > 0 {
			entries = append(entries, ", "...)
		}
		entries = r.Shape.Entry.append(entries, func(name string) string { return r.valueOf(name, board, e) })
	}
	entries = append(entries, ']')
	return append(r.Shape.Board.append(nil, func(name string) string {
		switch name {
		case "entries":
			return string(entries)
		case "players":
			return strconv.FormatInt(v.Players, 10)
		}
		return text(board)
	}), '\n')
}

// one formats the place of one player.
func (r *Route) one(board string, e leaderboard.Entry) []byte {
	return append(r.Shape.Player.append(nil, func(name string) string {
		if name == "score" && e.Rank == 0 {
			return "null" // the score is unknown
		}
		return r.valueOf(name, board, e)
	}), '\n')
}

// receipts formats the outcome of submissions: one as an object, a batch as a list.
func (r *Route) receipts(board string, list []leaderboard.Receipt, batch bool) []byte {
	var dst []byte
	if batch {
		dst = append(dst, '[')
	}
	for i, of := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		e := leaderboard.Entry{Rank: of.Rank, Player: of.Player, Score: of.Score}
		dst = r.Shape.Receipt.append(dst, func(name string) string {
			if of.Loading && name != "board" && name != "player" {
				return "null" // unknown until the board is loaded
			}
			return r.valueOf(name, board, e)
		})
	}
	if batch {
		dst = append(dst, ']')
	}
	return append(dst, '\n')
}

func (r *Route) valueOf(name, board string, e leaderboard.Entry) string {
	switch {
	case name == "board":
		return text(board)
	case name == "player":
		return text(e.Player)
	case name == "score":
		return number(e.Score)
	case name == "rank" && e.Rank > 0:
		return strconv.FormatInt(e.Rank, 10)
	case name == "beyond" && e.Rank == 0 && r.Rules.Top > 0:
		return strconv.Itoa(r.Rules.Top)
	case name == "at" && !e.At.IsZero():
		return text(e.At.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
	}
	return "null"
}

// number formats a finite score without an exponent.
func number(score float64) string { return strconv.FormatFloat(score, 'f', -1, 64) }

// text formats a string as JSON. Characters that a browser could take for HTML are escaped.
func text(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always encodes
	}
	return string(quoted)
}
