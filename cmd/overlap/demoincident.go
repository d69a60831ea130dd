package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/ledger"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

type demoIncident struct {
	Dir string `default:"overlap-incident" type:"path" help:"Where everybody's files go. It must not exist, or be an earlier demo's."`
}

// The people of the story: 60 gave a phone number for two-factor authentication,
// and an import said that it was for ads. Ten of them had said yes to that as
// well, in another place, so nothing wrong was done to them.
const (
	incidentUsers  = 2000
	mislabelled    = 60
	alsoConsented  = 10
	withdrew       = 50 // this person withdrew after the first session
	erasedBefore   = 51 // erased before anybody knew
	erasedAfter    = 52 // erased after having been told
	shopBelow      = 40 // the shop's list has the numbers of those below
	travelFrom     = 30 // the travel agency's of those from here on
	incidentSource = "crm-7"
)

// incident is the story under way.
type incident struct {
	dir          string
	agreed       *policy.Policy
	shop, travel *identity.Identity
	platform     *identity.Identity
	db           *store.DB
	p            *platform
	answers      *inquiry.Platform
	sessions     []played
}

// played is a session of the story, and what ought to be found of it.
type played struct {
	audience         string
	advertiser       *identity.Identity
	receipt          string // file
	exposed, matched uint64 // affected accounts that can still be named
	erased           uint64
}

func (c *demoIncident) Run(ctx context.Context) (err error) {
	s := &incident{dir: c.Dir}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer closing(s.db, &err)
	defer s.p.stop()
	for _, chapter := range []func(context.Context) error{s.play, s.discover, s.count, s.tell, s.answer, s.eraseOne, s.tamper} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("\nEverything is in %s. Open %s: it needs no network.\n", s.dir, s.path("evidence/summary.html"))
	return nil
}

func (s *incident) path(name string) string { return filepath.Join(s.dir, name) }

func chapter(title string) { fmt.Printf("\n== %s\n", title) }

// prepare makes files, companies, policy and store, and starts the platform.
func (s *incident) prepare(ctx context.Context) error {
	if err := freshDemo(s.dir, "shop", "travel", "platform", "regulator", "evidence"); err != nil {
		return err
	}
	for _, who := range []struct {
		name, dir string
		to        **identity.Identity
	}{{"Demo Shop", "shop", &s.shop}, {"Demo Travel", "travel", &s.travel}, {"Demo Platform", "platform", &s.platform}} {
		var err error
		if *who.to, err = identity.New(who.name); err != nil {
			return err
		}
		if err := (*who.to).Save(s.path(who.dir + "/identity")); err != nil {
			return err
		}
	}
	if err := s.agree(); err != nil {
		return err
	}
	chapter("the platform imports its users, and one mislabelled file")
	var err error
	if s.db, err = store.Open(ctx, "sqlite:"+s.path("platform/users.db")); err != nil {
		return err
	}
	for _, name := range []string{"users.csv", "crm-7.csv"} {
		if err := s.importFile(ctx, name); err != nil {
			return errors.Join(err, s.db.Close())
		}
	}
	if err := s.serve(); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// freshDemo makes a demo's folder anew.
func freshDemo(dir string, folders ...string) error {
	if _, err := os.Stat(dir); err == nil {
		if _, err := os.Stat(filepath.Join(dir, demoMarker)); err != nil {
			return usageError{fmt.Errorf("%s exists and is not a demo's; name another folder with --dir", dir)}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, folder := range folders {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, demoMarker), nil, 0o600)
}

// agree writes the policy, which all three sign.
func (s *incident) agree() (err error) {
	document := strings.Replace(string(policy.Default().Bytes()), "\nrelease_step = 10\n", "\nrelease_step = 1\n", 1)
	if s.agreed, err = policy.Parse([]byte(document)); err != nil {
		return err
	}
	var signed []byte
	for _, i := range []*identity.Identity{s.platform, s.shop, s.travel} {
		if signed, err = policy.Sign(s.agreed, signed, i.Key(), time.Now()); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(s.path("policy.toml"), s.agreed.Bytes(), 0o600), os.WriteFile(s.path("policy.toml"+policy.SignedSuffix), signed, 0o600),
		writeFile(s.path("platform/users.csv"), writeIncidentUsers), writeFile(s.path("platform/crm-7.csv"), writeMislabelled),
		writeFile(s.path("shop/customers.csv"), func(w io.Writer) error { return writeIncidentList(w, 0, shopBelow, 500) }),
		writeFile(s.path("travel/customers.csv"), func(w io.Writer) error { return writeIncidentList(w, travelFrom, mislabelled, 900) }))
}

const incidentColumns = "account_id,kind,value,purpose,status,jurisdiction,collected_at,source,notice,surface"

// writeIncidentUsers writes people who said yes to ads with their address, and
// ten who did so with their number too.
func writeIncidentUsers(w io.Writer) error {
	fmt.Fprintln(w, incidentColumns)
	for i := range incidentUsers {
		fmt.Fprintf(w, "u%04d,email,%s,ads_matching,granted,US-CA,2026-01-10,web,ads@3,settings page\n", i, email(i))
		if i < alsoConsented {
			fmt.Fprintf(w, "u%04d,phone,%s,ads_matching,granted,US-CA,2026-01-11,web,ads@3,settings page\n", i, phone(4*i))
		}
	}
	return nil
}

// writeMislabelled writes the file of the story. What it says of the numbers is
// wrong, and nobody has noticed.
func writeMislabelled(w io.Writer) error {
	fmt.Fprintln(w, incidentColumns)
	for i := range mislabelled {
		fmt.Fprintf(w, "u%04d,phone,%s,ads_matching,granted,US-CA,2026-02-01,%s,,import\n", i, phone(4*i), incidentSource)
	}
	return nil
}

// writeIncidentList writes an advertiser's list: numbers of some, and addresses of
// some hundreds of others.
func writeIncidentList(w io.Writer, from, below, addresses int) error {
	fmt.Fprintln(w, "email,phone")
	for i := from; i < below; i++ {
		fmt.Fprintf(w, ",%s\n", phone(4*i))
	}
	for i := addresses; i < addresses+300; i++ {
		fmt.Fprintf(w, "%s,\n", email(i))
	}
	return nil
}

func (s *incident) importFile(ctx context.Context, name string) error {
	f, err := ledger.Open(s.path("platform/"+name), ledger.Options{})
	if err != nil {
		return err
	}
	defer f.Close()
	added, err := putFacts(ctx, s.db, f, newProgress(true))
	if err == nil {
		fmt.Printf("overlap ledger import %s: %d facts\n", name, added)
	}
	return err
}

func (s *incident) serve() (err error) {
	log, err := os.OpenFile(s.path("platform/serve.log"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	agreed, signed, err := policy.Load(s.path("policy.toml"))
	if err != nil {
		return err
	}
	dir := s.path("platform/work")
	s.p, err = startPlatform("127.0.0.1:0", server.Config{
		Identity: s.platform, Store: s.db, Dir: dir, Log: slog.New(slog.NewTextHandler(log, nil)),
		Partners: []server.Partner{{Name: "shop", ID: s.shop.ID(), Policy: agreed, Signed: signed}, {Name: "travel", ID: s.travel.ID(), Policy: agreed, Signed: signed}},
	})
	if err != nil {
		return err
	}
	book, err := logbook.Open(server.LogsDir(dir), s.platform, s.db)
	s.answers = &inquiry.Platform{Store: s.db, Book: book, Evidence: server.EvidenceDir(dir)}
	return err
}

// play runs the three sessions; in between one person withdraws and one is
// erased.
func (s *incident) play(ctx context.Context) error {
	chapter("three sessions with two advertisers")
	if err := s.session(ctx, "shop", "spring", s.shop, played{exposed: 49, matched: 30, erased: 1}); err != nil {
		return err
	}
	if _, err := s.db.Withdraw(ctx, account(withdrew), "the person's own setting"); err != nil {
		return err
	}
	fmt.Printf("%s withdraws consent: no session from now on\n", account(withdrew))
	if err := s.session(ctx, "travel", "summer", s.travel, played{exposed: 48, matched: 28, erased: 1}); err != nil {
		return err
	}
	if _, err := s.answers.Erase(ctx, account(erasedBefore)); err != nil {
		return err
	}
	fmt.Printf("%s asks to be erased, and is: nobody knows of a mistake yet\n", account(erasedBefore))
	return s.session(ctx, "shop", "autumn", s.shop, played{exposed: 48, matched: 30})
}

func account(i int) string { return fmt.Sprintf("u%04d", i) }

func (s *incident) session(ctx context.Context, dir, name string, i *identity.Identity, want played) error {
	flags := listFlags{ListConsent: "granted"}
	list, err := flags.list(s.path(dir+"/customers.csv"), s.agreed)
	if err != nil {
		return err
	}
	defer list.Close()
	c := client.Config{Identity: i, Platform: s.platform.ID(), Policy: s.agreed, Dir: s.path(dir + "/state")}
	conn, err := client.Dial(s.p.addr.String(), c)
	if err != nil {
		return err
	}
	defer conn.Close()
	m, err := client.New(conn, c)
	if err != nil {
		return err
	}
	report, err := m.Match(ctx, name, list)
	if err != nil {
		return err
	}
	want.audience, want.advertiser, want.receipt = name, i, s.path(dir+"/"+name+".receipt")
	s.sessions = append(s.sessions, want)
	fmt.Printf("overlap match %s/customers.csv --audience %s: the advertiser learns \"about %d accounts\", and nothing else\n", dir, name, report.Count)
	return os.WriteFile(want.receipt, report.Receipt.Bytes(), 0o600)
}

// discover is when somebody finds out, and the ledger is corrected by new facts.
func (s *incident) discover(ctx context.Context) error {
	chapter("months later: the numbers of crm-7 were given for two-factor authentication")
	n, err := s.db.Relabel(ctx, store.Filter{Source: incidentSource}, consent.AccountSecurity2FA)
	if err != nil {
		return err
	}
	fmt.Printf("overlap ledger relabel --source crm-7 --to account_security_2fa: %d corrected; what was wrong stays on record, retracted\n", n)
	return nil
}

func (s *incident) question() (*inquiry.Question, error) {
	p, err := consent.ParsePredicate([]string{"purpose=account_security_2fa"})
	return &inquiry.Question{Predicate: p}, err
}

// count asks the question of this product, and compares with what was planted.
func (s *incident) count(ctx context.Context) error {
	chapter("who was affected, and how many?")
	q, err := s.question()
	if err != nil {
		return err
	}
	started := time.Now()
	a, err := s.answers.Count(ctx, q, inquiry.Reader{Who: "demo", Reason: "how many are affected"})
	if err != nil {
		return err
	}
	fmt.Printf("overlap audit affected --purpose account_security_2fa: %d accounts exposed, %d matched (%d ms)\n", a.Exposed.Accounts, a.Matched.Accounts, time.Since(started).Milliseconds())
	wrong := a.Exposed.Accounts != 49 || a.Matched.Accounts != 48 || len(a.Exposed.Sessions) != len(s.sessions)
	for i, want := range s.sessions {
		if wrong {
			break
		}
		e, m := a.Exposed.Sessions[i], a.Matched.Sessions[i]
		fmt.Printf("  %-7s %d exposed, %d matched, %d erased since\n", want.audience, e.Accounts, m.Accounts, e.Erased.Accounts)
		wrong = e.Accounts != want.exposed || m.Accounts != want.matched || e.Erased.Accounts != want.erased || e.Audience != want.audience
	}
	if wrong {
		return errors.New("the answer is not what was planted")
	}
	fmt.Printf("exactly those planted: %d numbers were imported; %d had consented elsewhere too and are not affected;\n%s is erased: it is known that somebody was there, and no longer who\n",
		mislabelled, alsoConsented, account(erasedBefore))
	return nil
}

// tell lists whom to notify, and keeps them until they have been told.
func (s *incident) tell(ctx context.Context) error {
	chapter("whom to tell")
	q, err := s.question()
	if err != nil {
		return err
	}
	people, err := s.answers.People(ctx, q, inquiry.Reader{Who: "demo", Reason: "notification of the affected"})
	if err != nil {
		return err
	}
	err = writePrivate(s.path("platform/notify.txt"), func(w io.Writer) error { return writeAccounts(w, people) })
	if err != nil {
		return err
	}
	fmt.Println("overlap audit affected … --tell notify.txt: 49 accounts, and nobody else; who looked is in the access log")
	return nil
}

// answer writes the evidence file with what a regulator drew, and has the
// independent verifier check it.
func (s *incident) answer(ctx context.Context) error {
	chapter("the answer for the regulator")
	q, err := s.question()
	if err != nil {
		return err
	}
	req := &inquiry.Request{Platform: s.platform, Question: q, Hold: time.Now().Add(30 * 24 * time.Hour),
		Names: map[identity.ID]string{s.shop.ID(): "shop", s.travel.ID(): "travel"}}
	for _, played := range s.sessions {
		r, err := readReceipt(played.receipt)
		if err != nil {
			return err
		}
		challenge, err := evidence.Draw(r, 500, time.Now())
		if err != nil {
			return err
		}
		req.Challenges = append(req.Challenges, challenge)
	}
	name := s.path("evidence/evidence.zip")
	err = writePrivate(name, func(w io.Writer) error {
		_, err := s.answers.WriteDossier(ctx, w, req, inquiry.Reader{Who: "demo", Reason: "request of the authority"})
		return err
	})
	if err != nil {
		return err
	}
	if err := extract(name, "summary.html", s.path("evidence/summary.html")); err != nil {
		return err
	}
	fmt.Printf("overlap audit evidence --out evidence.zip …\noverlap-verify --platform %.8s… evidence.zip\n", s.platform.ID())
	if dossier.Command([]string{"--platform", s.platform.ID().String(), "--advertiser", s.shop.ID().String(), "--advertiser", s.travel.ID().String(), name}, os.Stdout, os.Stderr) != 0 {
		return errors.New("the evidence does not verify")
	}
	return nil
}

// eraseOne is held back first, and possible once the person has been told.
func (s *incident) eraseOne(ctx context.Context) error {
	chapter("erasure, before and after the notice")
	_, err := s.answers.Erase(ctx, account(erasedAfter))
	if !errors.Is(err, store.ErrHeld) {
		return fmt.Errorf("an affected person was erased before the notice, or: %w", err)
	}
	fmt.Printf("overlap ledger erase %s: held until the affected have been told\n", account(erasedAfter))
	holds, err := s.db.Holds(ctx)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if err := s.db.ReleaseHold(ctx, h.ID); err != nil {
			return err
		}
	}
	if _, err := s.answers.Erase(ctx, account(erasedAfter)); err != nil {
		return err
	}
	q, err := s.question()
	if err != nil {
		return err
	}
	a, err := s.answers.Count(ctx, q, inquiry.Reader{Who: "demo", Reason: "how many are affected"})
	if err != nil {
		return err
	}
	if a.Exposed.Accounts != 48 || a.Exposed.Sessions[0].Erased.Accounts != 2 {
		return errors.New("after the erasure the count is wrong")
	}
	fmt.Printf("told, and erased: of the first session 48 can be named and 2 are erased; what was said before still adds up\n")
	return nil
}

// extract copies one file out of an archive.
func extract(archive, name, to string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := fs.ReadFile(r, name)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// tamper changes one byte of a copy of the log.
func (s *incident) tamper(context.Context) error {
	chapter("somebody changes the log")
	folder := os.DirFS(s.answers.Book.PublicDir())
	key := s.answers.Book.Signer().Verifier()
	tree, err := audit.Read(folder, key, audit.Quorum{})
	if err != nil {
		return err
	}
	copied := s.path("regulator/log")
	err = tree.Copy(func(name string, content []byte) error {
		if strings.HasPrefix(name, "tile/entries/") {
			content = bytes.Replace(content, []byte(`"complete"`), []byte(`"compl3te"`), 1)
		}
		name = filepath.Join(copied, filepath.FromSlash(name))
		return errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600))
	})
	if err != nil {
		return err
	}
	if _, err := audit.Verify(folder, audit.Expect{Log: key, Content: audit.PublicEvents}); err != nil {
		return err
	}
	_, err = audit.Verify(os.DirFS(copied), audit.Expect{Log: key, Content: audit.PublicEvents})
	if err == nil {
		return errors.New("a changed log verifies")
	}
	fmt.Printf("overlap audit verify log: %v\noverlap audit verify, of the log as it was: intact\n", err)
	return nil
}
