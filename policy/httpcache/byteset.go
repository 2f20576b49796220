package httpcache

// byteSet is a set of bytes.
type byteSet [256]bool

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

var (
	digitBytes      = bytesOf("0123456789")
	hexBytes        = bytesOf("0123456789abcdef")                                 // in lower case
	tokenBytes      = bytesOf(letters + "0123456789!#$%&'*+-.^_`|~")              // RFC 9110 §5.6.2
	sfTokenBytes    = bytesOf(letters + "0123456789!#$%&'*+-.^_`|~:/")            // RFC 9651 §3.3.4; the first is a letter or "*"
	cookieBytes     = bytesOf(letters + "0123456789!#$%&'()*+-./:<=>?@[]^_`{|}~") // RFC 6265 §4.1.1
	unreservedBytes = bytesOf(letters + "0123456789-._~")                         // RFC 3986 §2.3
	hostBytes       = bytesOf(letters + "0123456789-._~%!$&'()*+,;=")             // of a registered name (RFC 3986 §3.2.2)
	literalBytes    = bytesOf(letters + "0123456789-._~%!$&'()*+,;=:")            // of an IP literal, its brackets aside
	pathBytes       = bytesOf(letters + "0123456789-._~!$&'()*+,;=:@/")           // RFC 3986 §3.3
	tracestateBytes = bytesOf("abcdefghijklmnopqrstuvwxyz0123456789_-*/@")        // W3C Trace Context §3.3.1.3.1
	requestIDBytes  = bytesOf(letters + "0123456789-_.:/+=@~")
)

func bytesOf(text string) (set byteSet) {
	for i := range len(text) {
		set[text[i]] = true
	}
	return set
}

// all reports whether a text has only bytes of the set. True for an empty text.
func (set *byteSet) all(text string) bool {
	for i := range len(text) {
		if !set[text[i]] {
			return false
		}
	}
	return true
}
