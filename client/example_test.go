package client_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// An advertiser matches its customers with a platform. Two of the three have an
// account there, and one of them consented to be matched: the platform learns
// that one, and the advertiser only that they are too few to be counted.
func Example() {
	dir, err := os.MkdirTemp("", "overlap-*")
	check(err)
	defer os.RemoveAll(dir)
	me, err := identity.New("Shop") // once: keep it with Save, read it with Load
	check(err)
	address, platform, agreed, stop := examplePlatform(dir, me.ID())
	defer stop()

	config := client.Config{Identity: me, Platform: platform, Policy: agreed, Dir: filepath.Join(dir, "state")}
	conn, err := client.Dial(address, config)
	check(err)
	defer conn.Close()
	c, err := client.New(conn, config)
	check(err)

	customers := filepath.Join(dir, "customers.csv")
	check(os.WriteFile(customers, []byte("E-Mail\nAnn@Example.com\n bob@example.com\nnobody@example.com\nn/a\n"), 0o600))
	list, err := audience.Open(customers, config.ListOptions(audience.Granted)) // our word: the file has no column of consent
	check(err)
	defer list.Close()

	report, err := c.Match(context.Background(), "spring", list)
	check(err)
	fmt.Println(report.List.Rows, "rows,", report.Distinct, "different identifiers, shown to nobody")
	fmt.Println("the platform got a table of", report.Entries, "entries, pads included")
	fmt.Println("count released:", report.Released)
	statement, err := report.Receipt.Verify()
	check(err)
	fmt.Println("both companies signed for", statement.Audience, "in", statement.Mode)
	// Output:
	// 4 rows, 3 different identifiers, shown to nobody
	// the platform got a table of 1024 entries, pads included
	// count released: false
	// both companies signed for spring in P_LEARNS
}

// examplePlatform serves on a loopback address until stop is called. Package
// server has the example of how that is written.
func examplePlatform(dir string, partner identity.ID) (address string, id identity.ID, agreed *policy.Policy, stop func()) {
	agreed, err := policy.Parse([]byte(examplePolicy))
	check(err)
	me, err := identity.New("Platform")
	check(err)
	db, err := store.Open(context.Background(), "sqlite:"+filepath.Join(dir, "users.db"))
	check(err)
	_, err = db.Put(context.Background(), func(yield func(store.Fact, error) bool) {
		for account, status := range map[string]consent.Status{"ann": consent.Granted, "bob": consent.Denied} {
			if !yield(store.Fact{AccountID: account, Class: identifier.EmailUID2, Sum: sha256.Sum256([]byte(account + "@example.com")),
				Purpose: consent.AdsMatching, Status: status, Basis: consent.BasisConsent, Jurisdiction: "US", CollectedAt: time.Now()}, nil) {
				return
			}
		}
	})
	check(err)
	s, err := server.New(server.Config{Identity: me, Store: db, Dir: filepath.Join(dir, "work"),
		Partners: []server.Partner{{Name: "shop", ID: partner, Policy: agreed}}})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(s.Credentials()))...)
	s.Register(g)
	go g.Serve(l)
	return l.Addr().String(), me.ID(), agreed, func() { g.Stop(); db.Close() }
}

// examplePolicy is what both companies signed. A release leaves within two
// seconds, so that the example is quick.
const examplePolicy = `
version = 1
purpose = "ads_matching"
universe = "users"
classes = ["email.uid2-1", "phone.e164-1"]
max_q_hat = 16777216
max_n_hat = 16777216
max_evaluations = 268435456
max_releases = 10
retention_days = 180
release_step = 1
`

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
