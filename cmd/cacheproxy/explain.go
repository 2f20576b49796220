package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	var admin adminFlags
	var header []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain METHOD URL",
		Short: "Say what the proxy would do with a request, and why",
		Example: `  cacheproxy explain GET https://shop.example/products/17
  cacheproxy explain GET 'https://shop.example/products?page=2' -H 'Accept-Language: de'`,
		Args:         takes(2),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"method": {args[0]}, "url": {args[1]}, "header": header}
			answer, err := admin.ask(cmd.Context(), http.MethodGet, "/explain?"+query.Encode(), nil)
			if err != nil {
				return err
			}
			if !asJSON {
				return printOutline(cmd.OutOrStdout(), answer)
			}
			if !json.Valid(answer) {
				return errors.New("the proxy's answer is not JSON: is --admin right?")
			}
			_, err = cmd.OutOrStdout().Write(answer)
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&header, "header", "H", nil, "a header field of the request, as 'Name: value'; may be given several times")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the proxy's answer as it is")
	admin.register(cmd)
	return cmd
}
