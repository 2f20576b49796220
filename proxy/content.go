package proxy

// contentMark is in the storage keys of reads with content. The mark follows the part of the key that all reads of the
// URL share. The method, the fields that describe the content and the digest of the content follow the mark
// (policy.AppendContent). No storage key is a prefix of another, so a key with a mark cannot be the key of a read
// without content.
const contentMark = 'c'

// readContent receives the content of a request that may be a read with content (QUERY, or POST), and returns the
// content of such a read. Nil: the request is no such read, and the body can still be read from the beginning.
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
