package proxy

// contentMark follows the part of a storage key that all reads of the URL share, in keys of reads with content; the digest of the content comes
// after it. Since no storage key is a prefix of another, a key with a mark cannot be the key of a read without content.
const contentMark = 'c'

// readContent receives the content of a request that may be a read with content (QUERY, or POST), and returns it if it is one. Nil: the request
// is no such read, and its body can still be read from the beginning.
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
