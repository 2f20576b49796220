package api

import (
	"math/big"
	"strconv"
	"strings"
)

// maxDigits bounds the characters of a score. Every number that can be stored fits, and longer texts would only cost
// time to parse.
const maxDigits = 1100

// exactly returns the exact value of a JSON number that strconv has parsed. known is false if the exponent is beyond
// those of 64-bit numbers: the exact value would need as many digits as the exponent says.
func exactly(text string) (exact *big.Rat, known bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa := strings.Trim(text[:i], "-0.")
		if mantissa == "" { // zero with any exponent
			return new(big.Rat), true
		}
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e < -2*maxDigits || e > 2*maxDigits {
			return nil, false
		}
	}
	return new(big.Rat).SetString(text)
}

// exactOf returns a bound as written: 0.1 is exactly that, and not the nearest 64-bit number, which is a little larger.
func exactOf(bound float64) *big.Rat {
	exact, ok := new(big.Rat).SetString(number(bound))
	if !ok {
		return new(big.Rat) // a finite number always parses
	}
	return exact
}
