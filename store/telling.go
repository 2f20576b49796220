package store

import "net/http"

// tellingFields are the response fields because of which two answers with the same body mean different things to a client.
var tellingFields = [...]string{
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
	"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location", "Content-Type", "Link", "Location", "Www-Authenticate",
}

// Telling names the telling fields in which the copy and an answer differ.
func (c *Copy) Telling(answer http.Header) (names []string) {
	for _, name := range tellingFields {
		if c.Get(name) != answer.Get(name) {
			names = append(names, name)
		}
	}
	return names
}
