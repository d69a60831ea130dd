package server_test

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

// A platform serves one advertiser, which matches its list. Ann and Dan gave
// their addresses for that; Bob's is for signing in, and Eve withdrew.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "overlap-*")
	check(err)
	defer os.RemoveAll(dir)

	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "users.db"))
	check(err)
	defer db.Close()
	fact("ann", consent.AdsMatching, consent.Granted).put(db)
	fact("bob", consent.AccountSecurity2FA, consent.Granted).put(db)
	fact("dan", consent.AdsMatching, consent.Granted).put(db)
	fact("eve", consent.AdsMatching, consent.Withdrawn).put(db)

	me, err := identity.New("Platform") // once: keep it with Save, read it with Load
	check(err)
	shop, err := identity.New("Shop") // theirs: they tell you its ID
	check(err)
	agreed, err := policy.Parse([]byte(examplePolicy))
	check(err)
	s, err := server.New(server.Config{Identity: me, Store: db, Dir: filepath.Join(dir, "work"),
		Partners: []server.Partner{{Name: "shop", ID: shop.ID(), Policy: agreed}}})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(s.Credentials()))...)
	s.Register(g)
	go g.Serve(l)
	defer g.Stop()
	defer s.Close() // first: a session that waits for its advertiser does so no more

	theyMatch(l.Addr().String(), dir, me.ID(), shop, agreed, "ann@example.com\nbob@example.com\neve@example.com\nzoe@example.com\n")

	for account, err := range db.AudienceAccounts(ctx, shop.ID(), "spring") {
		check(err)
		fmt.Println(account, "is in the shop's audience")
	}
	// Output:
	// ann is in the shop's audience
}

// exampleFact is a line of the ledger.
type exampleFact store.Fact

func fact(account string, p consent.Purpose, s consent.Status) exampleFact {
	return exampleFact{AccountID: account, Class: identifier.EmailUID2, Sum: sha256.Sum256([]byte(account + "@example.com")),
		Purpose: p, Status: s, Basis: consent.BasisConsent, Jurisdiction: "FR", CollectedAt: time.Now()}
}

func (f exampleFact) put(db *store.DB) {
	_, err := db.Put(context.Background(), func(yield func(store.Fact, error) bool) { yield(store.Fact(f), nil) })
	check(err)
}

// theyMatch is what the advertiser does. Package client has the example.
func theyMatch(address, dir string, platform identity.ID, me *identity.Identity, agreed *policy.Policy, customers string) {
	file := filepath.Join(dir, "customers.csv")
	check(os.WriteFile(file, []byte("email\n"+customers), 0o600))
	config := client.Config{Identity: me, Platform: platform, Policy: agreed, Dir: filepath.Join(dir, "state")}
	list, err := audience.Open(file, config.ListOptions(audience.Granted))
	check(err)
	defer list.Close()
	conn, err := client.Dial(address, config)
	check(err)
	defer conn.Close()
	c, err := client.New(conn, config)
	check(err)
	_, err = c.Match(context.Background(), "spring", list)
	check(err)
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
