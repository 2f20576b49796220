package config

import "cacheproxy/leaderboard/api"

var boardKeys = section{
	{name: "board", is: aText, required: "is missing; write the board that a path is about, such as board: \"{game}\"", means: "Which board a request is about: a template of {wildcard} and {host}. Boards of a route have nothing in common."},
	{name: "player", is: aText, byDefault: "player", means: "The field of a submission that names the player: a text of up to 256 bytes."},
	{name: "score", is: aText, byDefault: "score", means: "The field of a submission that is the score: a number up to 2^53 either way."},
	{name: "aggregate", is: aWordOf(aggregates), byDefault: "best", means: "What a player's submissions come to. best, lowest: the one that is; sum: of integers; last: the latest; submissions: each stands for itself, so that one player may hold several places."},
	{name: "ties", is: aWordOf(ties), byDefault: "earlier", means: "Who of equal score stands first. earlier: who reached it first, of sum and last who submitted last earlier; name: by the bytes of the name."},
	{name: "ranks", is: ranks, byDefault: "100", means: "How many places are kept, 1 to 10000, or all: then every player has a rank, and memory grows with them."},
	{name: "window", is: aWindow, required: "is missing; write window: 24h, all-time, day or week", means: "The part of time that a board shows: a duration, which slides by whole buckets; all-time; day or week, which begin at midnight and on Monday of time_zone."},
	{name: "bucket", is: aDuration, byDefault: "1m", positive: true, means: "The span in which submissions are gathered, and by which a window slides: an entry may be shown up to one bucket too long, and never too short."},
	{name: "time_zone", is: aText, byDefault: "UTC", means: "Of day and week: a name of the IANA database, such as Europe/Berlin."},
	{name: "min_score", is: aScore, derived: "-2^53", means: "The least score that is taken; less: 422."},
	{name: "max_score", is: aScore, derived: "2^53", means: "The greatest; more: 422."},
	{name: "max_boards", is: aNumber, byDefault: "1000", positive: true, means: "Boards of the route; a submission to one more: 409."},
	{name: "max_batch", is: aNumber, byDefault: "100", positive: true, refuse: outside(1, 1000, "", "is more than 1000; write 100, the default"), means: "Submissions of one request, which are recorded all or not at all; more: 413. At most 1000."},
	{name: "remember", is: aDuration, byDefault: "10m", positive: true, means: "For how long an Idempotency-Key is: a repetition within that is recorded once."},
	{name: "durability", is: aWordOf(boardDurabilities), byDefault: "none", means: "What has to be true before a submission is acknowledged. none: the server has it; fsync: it is on its disk (WAITAOF; appendonly yes); replicas: a replica has it (WAIT)."},
	{name: "authorize", is: textsOrNone, required: "is missing; write authorize: {upstream: NAME, path: /may-score}, or authorize: none where anybody may submit any score for any player", means: "Who is asked first, for submissions and reads: GET of path at upstream, with the client's header, X-Forwarded-Method and X-Forwarded-Uri; 2xx: yes, remembered for 5s; 401, 403: no; else 503. X-Leaderboard-Player in the answer: the only player that the client may submit as. none: nobody."},
	{name: "answer", is: aSection(answerKeys), quiet: true, means: "The JSON of answers: templates in which a name in braces stands for a value."},
	{name: "archive", is: aSection(archiveKeys), quiet: true, means: "Buckets go to the database of postgres.url, and an empty server is filled from there."},
}

var answerKeys = section{
	{name: "board", is: aText, byDefault: api.DefaultShape["board"], means: "Of a part of a board: {board}, {entries}, and {players}, that have a rank."},
	{name: "entry", is: aText, byDefault: api.DefaultShape["entry"], means: "Of each of {entries}: {rank}, {player}, {score}, {at}."},
	{name: "player", is: aText, byDefault: api.DefaultShape["player"], means: "Of one player: {board}, {rank}, {player}, {score}, {at}, and {beyond}, the ranks that are kept where the player has none of them; else null."},
	{name: "receipt", is: aText, byDefault: api.DefaultShape["receipt"], means: "Of a submission: {board}, {rank}, {player}, {score}, {beyond}. A list of them answers a list."},
}

var archiveKeys = section{
	{name: "submissions", is: aFlag, byDefault: "false", means: "Every submission goes there too, by itself."},
	{name: "retention", is: aDuration, derived: "for ever", positive: true, means: "How long buckets and submissions stay there; not shorter than the window (a day: 25h; a week: 192h) and one bucket more."},
}

var recordsKeys = section{
	{name: "url", is: aText, means: "As valkey.url; or memory: boards of this process alone, which end with it, to try things."},
	{name: "sentinel", is: aSection(sentinelKeys), quiet: true, means: "Instead of url: the sentinels know where the server is."},
	{name: "username", is: aText, means: "Here a name needs no escapes, as it does in url."},
	{name: "password", is: aSecret, means: "Here a secret needs no escapes, as it does in url."},
	{name: "tls", is: aSection(serverTLSKeys), quiet: true, means: "With valkeys://, or with sentinel, which then speaks TLS too."},
	{name: "prefix", is: aText, byDefault: "cacheproxy", refuse: unlike(keyPrefix, "cannot begin keys; use up to 64 letters, digits, dots, dashes, underscores and colons, such as shop"), means: "Of every key in it: each fleet has its own."},
	{name: "timeout", is: aDuration, byDefault: "1s", positive: true, means: "For one submission or read; then 503, and of a submission it is not known whether it was recorded. A submission with durability: fsync or replicas has three times as long."},
}
