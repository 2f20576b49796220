package api

import (
	"math/big"
	"strconv"
	"strings"
)

// maxDigits is how many characters a score may be written with: every number that is kept can be, and none costs more to read.
const maxDigits = 1100

// exactly is a number of JSON as it is written. known is false where its exponent is beyond those of the numbers that scores are kept as:
// it would cost as many digits. The number is one that strconv has read.
func exactly(text string) (exact *big.Rat, known bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa := strings.Trim(text[:i], "-0.")
		if mantissa == "" { // zero, whatever its exponent
			return new(big.Rat), true
		}
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e < -2*maxDigits || e > 2*maxDigits {
			return nil, false
		}
	}
	return new(big.Rat).SetString(text)
}

// exactOf is a bound as it is written: 0.1 is that, and not the nearest of the numbers that are kept, which is a little more.
func exactOf(bound float64) *big.Rat {
	exact, ok := new(big.Rat).SetString(number(bound))
	if !ok {
		return new(big.Rat) // a finite number has a text
	}
	return exact
}
