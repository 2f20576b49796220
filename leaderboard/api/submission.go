package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cacheproxy/leaderboard"
)

// parse parses a submission: an object, or a list of objects, each with the two fields of the route. Other fields are
// ignored.
func (r *Route) parse(body []byte) (list []leaderboard.Submission, batch bool, refused *Refusal) {
	if !utf8.Valid(body) {
		return nil, false, refusef(http.StatusBadRequest, "the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	first, err := dec.Token()
	if err != nil {
		return nil, false, r.unreadable(err)
	}
	switch first {
	case json.Delim('{'):
		s, refused := r.object(dec)
		if refused != nil {
			return nil, false, refused
		}
		list = append(list, s)
	case json.Delim('['):
		batch = true
		for dec.More() {
			if len(list) == r.MaxBatch {
				return nil, false, refusef(http.StatusRequestEntityTooLarge, "the list has more than %d submissions; send them in several requests", r.MaxBatch)
			}
			begin, err := dec.Token()
			if err != nil {
				return nil, false, r.unreadable(err)
			}
			if begin != json.Delim('{') {
				return nil, false, r.malformed("entry %d of the list is not an object", len(list)+1)
			}
			s, refused := r.object(dec)
			if refused != nil {
				refused.Text = fmt.Sprintf("entry %d of the list: %s", len(list)+1, refused.Text)
				return nil, false, refused
			}
			list = append(list, s)
		}
		if _, err := dec.Token(); err != nil {
			return nil, false, r.unreadable(err)
		}
		if len(list) == 0 {
			return nil, false, r.malformed("the list is empty")
		}
	default:
		return nil, false, r.malformed("the body is neither an object nor a list")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false, r.malformed("the body goes on after its JSON value")
	}
	return list, batch, nil
}

// object parses the rest of an object, after its opening brace.
func (r *Route) object(dec *json.Decoder) (s leaderboard.Submission, refused *Refusal) {
	fields := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return s, r.unreadable(err)
		}
		field := name.(string) // the decoder accepts only strings as names
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return s, r.unreadable(err)
		}
		if field != r.Player && field != r.Score {
			continue
		}
		if _, twice := fields[field]; twice {
			return s, r.malformed("%q is there twice", field)
		}
		fields[field] = value
	}
	if _, err := dec.Token(); err != nil {
		return s, r.unreadable(err)
	}
	for _, name := range [...]string{r.Player, r.Score} {
		if fields[name] == nil {
			return s, r.malformed("%q is missing", name)
		}
	}
	if err := json.Unmarshal(fields[r.Player], &s.Player); err != nil || fields[r.Player][0] != '"' {
		return s, r.malformed("%q is not a text", r.Player)
	}
	if s.Score, refused = r.score(string(fields[r.Score])); refused != nil {
		return s, refused
	}
	return s, checkName(r.Player, s.Player)
}

// Check checks a player and a score, as written. The error is a *Refusal.
func (r *Route) Check(player, score string) (s leaderboard.Submission, err error) {
	of, refused := r.score(score)
	if refused == nil {
		refused = checkName(r.Player, player)
	}
	if refused != nil {
		return s, refused
	}
	return leaderboard.Submission{Player: player, Score: of}, nil
}

// score parses a number, and checks the number against the limits of the route.
//
// Invariant: the limits, and the test for integers, apply to the number as written, and not to the nearest 64-bit
// number: 9007199254740993 is beyond 2^53, though the nearest is not. Of a fraction, the nearest number is stored, as
// for any number of JSON (RFC 8259 §6).
func (r *Route) score(text string) (float64, *Refusal) {
	score, err := strconv.ParseFloat(text, 64)
	switch {
	case strings.ContainsAny(text, `"{[`) || err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, r.malformed("%q is not a number", r.Score)
	case len(text) > maxDigits:
		return 0, refusef(http.StatusUnprocessableEntity, "%q is written with more than %d characters", r.Score, maxDigits)
	case err != nil || math.Abs(score) > leaderboard.Exact:
		return 0, refusef(http.StatusUnprocessableEntity, "%q is beyond 2^53, up to which numbers are exact", r.Score)
	}
	exact, known := exactly(text)
	switch {
	case !known || score == 0 && exact.Sign() != 0:
		return 0, refusef(http.StatusUnprocessableEntity, "%q is too close to zero to be told from it", r.Score)
	case new(big.Rat).Abs(exact).Cmp(exactOf(leaderboard.Exact)) > 0:
		return 0, refusef(http.StatusUnprocessableEntity, "%q is beyond 2^53, up to which numbers are exact", r.Score)
	case exact.Cmp(exactOf(r.MinScore)) < 0:
		return 0, refusef(http.StatusUnprocessableEntity, "%q is less than %s", r.Score, number(r.MinScore))
	case exact.Cmp(exactOf(r.MaxScore)) > 0:
		return 0, refusef(http.StatusUnprocessableEntity, "%q is more than %s", r.Score, number(r.MaxScore))
	case r.Rules.Aggregate == leaderboard.Sum && !exact.IsInt():
		return 0, refusef(http.StatusUnprocessableEntity, "%q is not an integer, and this board adds them up", r.Score)
	}
	return score + 0, nil // turns a negative zero into zero
}

// checkName returns what is wrong with the name of a player; nil: the name is valid.
func checkName(field, name string) *Refusal {
	switch {
	case name == "":
		return refusef(http.StatusUnprocessableEntity, "%q is empty", field)
	case len(name) > maxName:
		return refusef(http.StatusUnprocessableEntity, "%q is longer than %d bytes", field, maxName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) || strings.ContainsFunc(name, unicode.IsControl):
		return refusef(http.StatusUnprocessableEntity, "%q has characters that no name has", field)
	}
	return nil
}

func (r *Route) malformed(format string, args ...any) *Refusal {
	return refusef(http.StatusBadRequest, "%s; send {%q: \"ada\", %q: 12}, or a list of up to %d of them", fmt.Sprintf(format, args...), r.Player, r.Score, r.MaxBatch)
}

func (r *Route) unreadable(err error) *Refusal {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.malformed("the body ends before its JSON value does")
	}
	return r.malformed("the body is not JSON (%v)", err)
}
