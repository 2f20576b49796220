package policy

import "net/http"

// AnswersCredentials reports whether a copy may answer a request with Authorization: the origin permits to share the
// answer even with requests that have credentials (RFC 9111 §3.5). stored is the copy's header.
func (r *Route) AnswersCredentials(stored http.Header) bool {
	return directivesOf(r, stored).SharesAuthorized()
}

// CredentialsHeader is FillHeader for a request with credentials whose answer the origin may permit to share. ok is
// false where a fill forwards only listed fields: such a request goes through with all that its client sent.
func (r *Route) CredentialsHeader(client http.Header, selected []string) (http.Header, bool) {
	if r.ForwardHeaders != ForwardAll {
		return nil, false
	}
	h := r.FillHeader(client, selected)
	copyField(h, client, "Authorization")
	return h, true
}
