package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

var errDiffers = errors.New("the match differs from the plain files")

// compare puts what each side got beside what the plain files say.
func (c *demoCommand) compare(ctx context.Context, db *store.DB, advertiser identity.ID) error {
	truth, err := plainTruth(c.path(demoCustomers), c.path(demoUsers))
	if err != nil {
		return err
	}
	fmt.Printf("== platform: overlap audience list --store sqlite:%s\n", c.path(demoStore))
	securityMatched, err := c.comparePlatform(ctx, db, advertiser, truth)
	if err != nil {
		return err
	}
	if c.mode() != client.PLearns {
		fmt.Printf("== advertiser: cat %s\n", c.path(demoMatches))
		if err := c.compareRows(truth); err != nil {
			return err
		}
	}
	fmt.Printf("== both: overlap receipt verify %s\n", c.path(demoReceipt))
	if err := verifyFile(c.path(demoReceipt)); err != nil {
		return err
	}
	fmt.Println("the receipt is valid: both companies signed how the session ended")
	fmt.Printf("files of both companies: %s\n", c.Dir)
	if c.mode().FillsAudience() {
		fmt.Printf("%d accounts on the list had given the identifier for security only: %d matched\n", len(truth.securityOnly), securityMatched)
	}
	return nil
}

// comparePlatform looks at the audience, which in A_LEARNS there must not be. It
// returns how many of those who gave an identifier for security only are in it.
func (c *demoCommand) comparePlatform(ctx context.Context, db *store.DB, advertiser identity.ID, t *truth) (securityMatched int, err error) {
	if !c.mode().FillsAudience() {
		audiences, err := db.Audiences(ctx)
		if err == nil && len(audiences) > 0 {
			err = errDiffers
		}
		fmt.Printf("%d audiences: the platform has learned of nobody\n", len(audiences))
		return 0, err
	}
	wrong, matched := 0, 0
	for account, err := range db.AudienceAccounts(ctx, advertiser, demoAudience) {
		if err != nil {
			return 0, err
		}
		matched++
		if !t.overlap[account] {
			wrong++
		}
		if t.securityOnly[account] {
			securityMatched++
		}
	}
	missed := len(t.overlap) - (matched - wrong)
	fmt.Printf("audience %q: %d accounts; from the two plain files: %d; wrong: %d, missed: %d\n", demoAudience, matched, len(t.overlap), wrong, missed)
	if wrong > 0 || missed > 0 || securityMatched > 0 {
		return securityMatched, errDiffers
	}
	return securityMatched, nil
}

// compareRows looks at the rows that the advertiser got.
func (c *demoCommand) compareRows(t *truth) error {
	wrong := 0
	found := map[string]bool{}
	err := eachRecord(c.path(demoMatches), func(col map[string]int, row []string) {
		// The demo's customers are numbered from 1, so that an id is its row.
		pair := row[col["row"]] + "," + row[col["kind"]]
		if !t.rows[pair] || row[col["id"]] != row[col["row"]] {
			wrong++
		}
		found[pair] = true
	})
	if err != nil {
		return err
	}
	missed := 0
	for pair := range t.rows {
		if !found[pair] {
			missed++
		}
	}
	fmt.Printf("rows: %d; from the two plain files: %d; wrong: %d, missed: %d\n", len(found), len(t.rows), wrong, missed)
	if wrong > 0 || missed > 0 {
		return errDiffers
	}
	return nil
}

func verifyFile(path string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, err := session.ParseReceipt(file)
	if err != nil {
		return err
	}
	_, err = r.Verify()
	return err
}
