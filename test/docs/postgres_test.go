package docs

import (
	"net/url"

	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

const docDatabase = "127.0.0.1:5432"

// database starts the server that the document takes for running, with its tables, and with its roles, which all have the superuser's
// password.
func (s *stage) database() {
	address := servers.Postgres(s.t)
	u, err := url.Parse(address)
	if err != nil {
		s.t.Fatal(err)
	}
	password, _ := u.User.Password()
	s.more = append(s.more, docDatabase, u.Host)
	s.secrets = append(s.secrets, "PGPASSWORD="+password)
	do := func(database string, statements ...string) {
		u.Path = "/" + database
		conn, err := pgx.Connect(s.t.Context(), u.String())
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = conn.Close(s.t.Context()) }()
		for _, sql := range statements {
			if _, err := conn.Exec(s.t.Context(), sql); err != nil {
				s.t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	do("postgres", "CREATE ROLE cacheproxy LOGIN PASSWORD '"+password+"'", "CREATE ROLE installer LOGIN PASSWORD '"+password+"'", "CREATE DATABASE shop")
	do("shop", "CREATE TABLE product (id int PRIMARY KEY, slug text, name text, price numeric)", "CREATE TABLE category (id int PRIMARY KEY)",
		"GRANT CREATE ON DATABASE shop TO installer", "GRANT TRIGGER ON product, category TO installer")
}
