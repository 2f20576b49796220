package httpcache

import "net/http"

// aboutClient are the statuses that must not be stored. Such an answer is about the client and its request (RFC 6585 §3
// to §6), or about the way of the request, which a client may make up (RFC 5842 §7.2).
var aboutClient = map[int]bool{428: true, 429: true, 431: true, 508: true, 511: true}

// finalStatus reports whether s ends the exchange and can stand for a whole response. 304 confirms another response.
func finalStatus(s int) bool { return s >= 200 && s <= 599 && s != http.StatusNotModified }

// understood are the statuses of RFC 9110 §15 whose caching requirements this package meets, for must-understand.
var understood = map[int]bool{
	200: true, 201: true, 202: true, 203: true, 204: true, 205: true,
	300: true, 301: true, 302: true, 303: true, 307: true, 308: true,
	400: true, 401: true, 402: true, 403: true, 404: true, 405: true, 406: true, 408: true, 409: true, 410: true,
	411: true, 413: true, 414: true, 415: true, 417: true, 421: true, 422: true, 426: true,
	500: true, 501: true, 502: true, 503: true, 504: true, 505: true,
}

// ForEveryone reports whether a response with this status can stand for a whole response, and for other clients than
// the requesting one.
func ForEveryone(status int) bool { return finalStatus(status) && !aboutClient[status] }

// Understood reports whether this package meets the caching requirements of a status, for must-understand (RFC 9111
// §5.2.2.3).
func Understood(status int) bool { return understood[status] }
