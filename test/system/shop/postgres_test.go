package shop_test

import (
	"context"
	"testing"
	"time"

	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// The server that tests start takes the settings that it is given.
func TestPostgresAnswers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, servers.Postgres(t, "work_mem=7MB"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	var setting string
	if err := conn.QueryRow(ctx, "SHOW work_mem").Scan(&setting); err != nil {
		t.Fatal(err)
	}
	if setting != "7MB" {
		t.Errorf("work_mem is %s, want the setting given, 7MB", setting)
	}
}
