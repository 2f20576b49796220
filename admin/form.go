package admin

import (
	"fmt"
	"net/http"

	"cacheproxy/invalidation"
)

// form is the form of an answer, so that a client of another cache's API understands the answer.
type form uint8

const (
	formOwn        form = iota // zero value: a receipt, or {"error":…}; plugins for Varnish look at the status alone
	formFastly                 // {"status":"ok","id":…}, or {"msg":…,"detail":…}
	formFastlyKeys             // as formFastly, with the id for each key
	formCloudflare             // {"success":…,"errors":[…],"messages":[],"result":…}
)

// cloudflareAnswer is the envelope of every answer in Cloudflare's form.
type cloudflareAnswer struct {
	Success  bool              `json:"success"`
	Errors   []cloudflareError `json:"errors"`
	Messages []string          `json:"messages"`
	Result   any               `json:"result"`
}

type cloudflareError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// problem is the content of an error answer.
func (f form) problem(status int, text string) any {
	switch f {
	case formFastly, formFastlyKeys:
		return map[string]string{"msg": http.StatusText(status), "detail": text}
	case formCloudflare:
		return cloudflareAnswer{Errors: []cloudflareError{{status, text}}, Messages: []string{}}
	}
	return map[string]string{"error": text}
}

// receipt answers a purge. t has what the receipt tells of the order's names.
func (f form) receipt(w http.ResponseWriter, o order, status int, r invalidation.Receipt, t told, err error) error {
	if status == http.StatusOK && f != formOwn {
		switch f {
		case formFastly:
			return writeJSON(w, status, struct {
				Status string   `json:"status"`
				ID     string   `json:"id"`
				Unseen []string `json:"unseen_here,omitempty"`
			}{"ok", r.ID, t.unseen})
		case formFastlyKeys:
			ids := map[string]string{"status": "ok"}
			for _, key := range o.tags {
				ids[key] = r.ID
			}
			return writeJSON(w, status, ids)
		}
		return writeJSON(w, status, cloudflareAnswer{true, []cloudflareError{}, []string{}, receiptOf(r, t)})
	}
	if status != http.StatusServiceUnavailable || !o.repeats {
		return answerPurge(w, status, r, t, err)
	}
	text := "the purge does not hold everywhere yet: it is applied here, and repeated until it does"
	if err != nil {
		text = fmt.Sprintf("%s: %v", text, err)
	}
	w.Header().Set("Retry-After", "1")
	if f == formOwn {
		return writeJSON(w, status, unheldAnswer{Recorded: r.Recorded, Error: text})
	}
	return writeJSON(w, status, f.problem(status, text))
}
