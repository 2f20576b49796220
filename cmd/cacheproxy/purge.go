package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// purgeOrder is the body of POST /purge.
type purgeOrder struct {
	Keys     []string `json:"keys,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	URLs     []string `json:"urls,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Routes   []string `json:"routes,omitempty"`
	All      bool     `json:"all,omitempty"`
	Confirm  bool     `json:"confirm,omitempty"`
	Soft     bool     `json:"soft,omitempty"`
	Wait     string   `json:"wait"`
}

func purgeCommand() *cobra.Command {
	var admin adminFlags
	var order purgeOrder
	var asJSON, confirm bool
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Make copies unusable on every instance",
		Long: `Make copies unusable on every instance, and wait until that holds.

Each of --key, --tag, --url, --prefix and --route may be given several times; all of it is one purge.
A URL without a query stands for the path with every query; without a host, for every host.
What is purged has to be fetched anew. A fetch is made once for all who wait for the same answer, and the upstream's
max_in_flight and max_queue hold, but what finds no place in the queue is refused with 503. For what many copies share
(--route, --prefix, --all, a common tag) use --soft where the old copies may be read a moment longer: they are served
within the route's stale_while_revalidate while each is renewed in the background, and nobody waits.

--all needs --confirm.
The exit status is 0 when the purge holds everywhere (with --wait none or local: when that much is done), else 1.`,
		Example: `  cacheproxy purge --key v2:product:17
  cacheproxy purge --tag product-list --tag category:9 --soft
  cacheproxy purge --prefix https://shop.example/products
  cacheproxy purge --route product --soft`,
		Args:         takes(0),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if order.Confirm = confirm; order.All && !confirm {
				return errors.New("--all empties the whole cache, and the origins get all the load: repeat it with --confirm, or name a --route or --prefix")
			}
			answer, err := admin.call(cmd.Context(), http.MethodPost, "/purge", order)
			if err != nil {
				return err
			}
			return reportPurge(cmd.OutOrStdout(), answer, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&order.Keys, "key", nil, "copies with this name")
	flags.StringArrayVar(&order.Tags, "tag", nil, "copies with this tag")
	flags.StringArrayVar(&order.URLs, "url", nil, "copies of this URL")
	flags.StringArrayVar(&order.Prefixes, "prefix", nil, "copies of every URL below this path, cut at a segment")
	flags.StringArrayVar(&order.Routes, "route", nil, "copies of this route")
	flags.BoolVar(&order.All, "all", false, "every copy: the origin gets all the load; needs --confirm")
	flags.BoolVar(&confirm, "confirm", false, "with --all: yes, every copy")
	flags.BoolVar(&order.Soft, "soft", false, "mark stale instead of unusable")
	flags.StringVar(&order.Wait, "wait", "all", "all: every instance has applied it; none: it is recorded; local: this instance has applied it")
	flags.BoolVar(&asJSON, "json", false, "print the proxy's answer as it is")
	cmd.MarkFlagsOneRequired("key", "tag", "url", "prefix", "route", "all")
	admin.register(cmd)
	return cmd
}

// purgeReceipt has the fields of all answers to a purge.
type purgeReceipt struct {
	ID        string   `json:"id"`
	Seq       uint64   `json:"seq"`
	Instances int      `json:"instances"`
	Acked     []string `json:"acked"`
	Reaped    []string `json:"reaped"`
	TookMS    float64  `json:"took_ms"`
	Recorded  bool     `json:"recorded"`
	Unseen    []string `json:"unseen_here"`
}

// reportPurge prints the result of a purge. An error makes the exit status 1.
func reportPurge(out io.Writer, answer adminAnswer, asJSON bool) error {
	if asJSON {
		fmt.Fprintf(out, "%s", answer.body)
	}
	var r purgeReceipt
	switch answer.status {
	case http.StatusOK, http.StatusAccepted, http.StatusServiceUnavailable:
		if err := json.Unmarshal(answer.body, &r); err != nil {
			return fmt.Errorf("read receipt: %w", err)
		}
		if answer.status != http.StatusServiceUnavailable && r.ID == "" {
			return errors.New("the answer is not a receipt: is --admin right?")
		}
	default:
		return errors.New(asFlags(answer.problem().Error()))
	}
	switch {
	case answer.status == http.StatusServiceUnavailable && r.Recorded:
		return errors.New("the purge is recorded but not confirmed: instances that were cut off may still serve old copies; repeat it")
	case answer.status == http.StatusServiceUnavailable:
		return answer.problem()
	case !asJSON:
		printReceipt(out, answer.status, r)
	}
	return nil
}

// advisedCall matches the listener's advice of another purge; the groups are the field and its names.
var advisedCall = regexp.MustCompile(`(?:send )?(?:POST /purge with )?\{"(keys|tags|urls|prefixes|routes)":\[("[^"]*"(?:,"[^"]*")*)\]\}`)

// asFlags rewrites such advice with the flags of the command.
func asFlags(advice string) string {
	return advisedCall.ReplaceAllStringFunc(advice, func(call string) string {
		parts := advisedCall.FindStringSubmatch(call)
		flag := " --" + strings.TrimSuffix(parts[1], "s")
		if parts[1] == "prefixes" {
			flag = " --prefix"
		}
		flags := strings.TrimSpace(flag + " " + strings.ReplaceAll(parts[2], ",", flag+" "))
		if strings.HasPrefix(call, "send ") {
			return "use " + flags
		}
		return flags
	})
}

func printReceipt(out io.Writer, status int, r purgeReceipt) {
	if status == http.StatusAccepted {
		state := "applied on this instance only"
		if r.Recorded {
			state = "recorded, not confirmed"
		}
		fmt.Fprintf(out, "purge %s: %s (%g ms)\n", r.ID, state, r.TookMS)
		printUnseen(out, r)
		return
	}
	fmt.Fprintf(out, "purge %s: holds everywhere since position %d (%g ms)\n", r.ID, r.Seq, r.TookMS)
	fmt.Fprintf(out, "instances: %d\n", r.Instances)
	for _, group := range []struct {
		name  string
		names []string
	}{{"applied by", r.Acked}, {"found dead", r.Reaped}} {
		if len(group.names) > 0 {
			fmt.Fprintf(out, "%s: %s\n", group.name, strings.Join(group.names, ", "))
		}
	}
	printUnseen(out, r)
}

// printUnseen prints the names that may be misspelt.
func printUnseen(out io.Writer, r purgeReceipt) {
	if len(r.Unseen) > 0 {
		fmt.Fprintf(out, "no copy of the instance that was asked has carried lately: %s\n", strings.Join(r.Unseen, ", "))
	}
}
