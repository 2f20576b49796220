package policy

// maxCompared bounds the work of MayEqual: the product of the lengths of the two templates.
const maxCompared = 1 << 20

// MayEqual reports whether some values make both templates give the same key or tag. A value is any text, even an empty
// one, without the separators of names (escapeName). For templates that are too long to be compared MayEqual reports
// true, which is the safe answer.
func (t Template) MayEqual(u Template) bool {
	a, b := t.symbols(), u.symbols()
	if (len(a)+1)*(len(b)+1) > maxCompared {
		return true
	}
	// below[j] says whether the rest of a from i+1 on and b[j:] can be equal, and row[j] says the same with the rest of
	// a from i on.
	below, row := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				row[j] = true
			case i < len(a) && a[i] == anyValue:
				row[j] = below[j] || j < len(b) && fitsValue(b[j]) && row[j+1]
			case j < len(b) && b[j] == anyValue:
				row[j] = row[j+1] || i < len(a) && fitsValue(a[i]) && below[j]
			default:
				row[j] = i < len(a) && j < len(b) && a[i] == b[j] && below[j+1]
			}
		}
		below, row = row, below
	}
	return below[0]
}

// anyValue is the symbol of a placeholder among the bytes of the texts.
const anyValue = -1

func (t Template) symbols() (all []int) {
	for _, p := range t.parts {
		if p.placeholder.Kind != 0 {
			all = append(all, anyValue)
		}
		for _, c := range []byte(p.text) {
			all = append(all, int(c))
		}
	}
	return all
}

// fitsValue reports whether a symbol can be the value of a placeholder, or a part of one.
func fitsValue(symbol int) bool {
	return symbol == anyValue || symbol != ':' && symbol != '/' && symbol >= ' ' && symbol != 0x7f
}
