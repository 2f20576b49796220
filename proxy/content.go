package proxy

// asked ends the keys of reads with content, and the digest of the content follows. No key is the beginning of another.
const asked = 'c'

// readContent reads the content of a request that may be a read by it. Nil: it is none, and goes on as it came.
func (ex *exchange) readContent() ([]byte, error) {
	r, most := ex.r, ex.route.Content.Max
	if most == 0 || !ex.route.Content.MayRead(ex.match.Pattern(), r.Method) || r.Body == nil || r.ContentLength > most {
		return nil, nil
	}
	if err := ex.gather(most); err != nil {
		return nil, err
	}
	g := &ex.gathered
	if !g.whole || !ex.route.Content.Reads(r.Method, ex.target, r.Header, g.read) {
		return nil, nil
	}
	return g.read, nil
}
