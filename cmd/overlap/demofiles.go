package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strings"
)

// cast is the people of the demo: person i has an account on the platform for
// i < users, and is or is not a customer of the advertiser. All of it follows
// from the seed. Nobody here exists.
type cast struct {
	users, rows int
	drawn       uint64
}

func newCast(rows, users int) *cast { return &cast{users: users, rows: rows} }

// draw returns the next of the demo's fixed choices, below n.
func (c *cast) draw(n int) int {
	c.drawn++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("overlap demo"), c.drawn))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(n))
}

var (
	firstNames = strings.Fields("Ada Ben Chloe Dmitri Elif Farid Grace Hugo Ines Jonas Kofi Lea Mara Nils Olga Pia Quentin Rosa Sami Tara Uma Victor Wen Xenia Yara Zoe")
	lastNames  = strings.Fields("Abel Brandt Costa Dubois Eriksen Fontana Garcia Haddad Ivanov Jansen Kaya Lopez Martin Nguyen Okafor Petit Quist Rossi Sato Torres Ueda Varga Weber Xu Yilmaz Zimmer")
	areaCodes  = strings.Fields("201 202 206 212 213 303 305 312 404 415 512 602 617 702 713 718 773 805 917 949")
)

// email is person i's address, as its owner would spell it; every fifth is a
// Gmail address, whose dots and tags do not count.
func email(i int) string {
	first, last := firstNames[i%len(firstNames)], lastNames[i/len(firstNames)%len(lastNames)]
	switch i % 10 {
	case 0, 5:
		return fmt.Sprintf("%s%s%d@gmail.com", strings.ToLower(first), strings.ToLower(last), i)
	case 3:
		return fmt.Sprintf("%s_%d@post.example.org", strings.ToLower(last), i)
	}
	return fmt.Sprintf("%s.%s%d@mail.example", strings.ToLower(first), strings.ToLower(last), i)
}

// phone is person i's number in E.164: American, and every fourth French.
func phone(i int) string {
	if i%4 == 3 {
		return fmt.Sprintf("+3361%07d", i%10_000_000)
	}
	return fmt.Sprintf("+1%s%03d%04d", areaCodes[i%len(areaCodes)], 220+i/len(areaCodes)/10000%280, i/len(areaCodes)%10000)
}

func (c *cast) chance(percent int) bool { return c.draw(100) < percent }

func (c *cast) pick(options ...string) string { return options[c.draw(len(options))] }

// spellEmail writes an address the way customer files do.
func (c *cast) spellEmail(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	switch c.draw(6) {
	case 0:
		return strings.ToUpper(address)
	case 1:
		return " " + address + "  "
	case 2:
		if domain == "gmail.com" {
			return local[:3] + "." + local[3:] + "+shop@Gmail.com"
		}
	case 3:
		return strings.ToUpper(local[:1]) + local[1:] + "@" + domain
	}
	return address
}

// spellPhone writes a number the way customer files do; a number without a
// country is American, as the whole file is read with --region US.
func (c *cast) spellPhone(e164 string) string {
	if strings.HasPrefix(e164, "+33") {
		n := e164[3:]
		return c.pick(e164, fmt.Sprintf("+33 %s %s %s %s %s", n[:1], n[1:3], n[3:5], n[5:7], n[7:]),
			"+33 (0)"+n)
	}
	n := e164[2:]
	return c.pick(e164, fmt.Sprintf("(%s) %s-%s", n[:3], n[3:6], n[6:]), fmt.Sprintf("+1 %s.%s.%s", n[:3], n[3:6], n[6:]),
		fmt.Sprintf("1-%s-%s-%s", n[:3], n[3:6], n[6:]), fmt.Sprintf("tel:+1%s", n))
}

// writeUsers writes the platform's file: a line for every account × identifier ×
// purpose. Some numbers were given to secure the account and for nothing else.
func (c *cast) writeUsers(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write(strings.Split("account_id,kind,value,purpose,status,jurisdiction,collected_at,ads_switch", ",")) // Flush reports errors
	for i := range c.users {
		id := fmt.Sprintf("u%07d", i)
		where := c.pick("US-CA", "US-NY", "US", "FR", "GB", "DE")
		on := "on"
		if c.chance(3) {
			on = "off"
		}
		line := func(kind, value, purpose, status string) {
			at := fmt.Sprintf("20%02d-%02d-%02dT%02d:%02d:00Z", 19+c.draw(7), 1+c.draw(12), 1+c.draw(28), c.draw(24), c.draw(60))
			_ = out.Write([]string{id, kind, value, purpose, status, where, at, on})
		}
		line("email", email(i), "account_signup", "granted")
		switch n := c.draw(100); {
		case n < 60:
			line("email", c.spellEmail(email(i)), "ads_matching", "granted")
		case n < 70:
			line("email", email(i), "ads_matching", "denied")
		case n < 78:
			line("email", email(i), "ads_matching", "withdrawn")
		case n < 85:
			line("email", email(i), c.pick("account_recovery", "account_reauth"), "granted")
		}
		switch n := c.draw(100); {
		case n < 25:
			line("phone", phone(i), "account_security_2fa", "granted")
		case n < 45:
			line("phone", phone(i), "ads_matching", "granted")
		case n < 50:
			line("phone", phone(i), "account_security_2fa", "granted")
			line("phone", phone(i), "ads_matching", "granted")
		case n < 55:
			line("phone", phone(i), "uploaded_by_other", "granted")
		case n < 60:
			line("phone", phone(i), "account_recovery", "granted")
		}
	}
	out.Flush()
	return out.Error()
}

// writeCustomers writes the advertiser's file, as messy as they are: two columns
// of e-mails, spellings of all kinds, blanks, typing errors, repeats. About half
// of the customers have an account.
func (c *cast) writeCustomers(w io.Writer) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	_ = out.Write([]string{"Customer ID", "First Name", "Last Name", "Email", "Phone", "Email"})
	for row := range c.rows {
		i := c.draw(max(c.users, 1))
		if c.chance(50) {
			i = c.users + row // nobody the platform knows
		}
		address, number, second := c.spellEmail(email(i)), c.spellPhone(phone(i)), ""
		switch n := c.draw(100); {
		case n < 20:
			number = ""
		case n < 35:
			address = ""
		case n < 38:
			address = strings.Replace(address, "@", " at ", 1)
		case n < 40:
			number = c.pick("n/a", "6.12346E+11", "12345", "call the office")
		case n < 42:
			address, number = "", ""
		case n < 50:
			second = email(c.users + c.rows + row)
		}
		_ = out.Write([]string{fmt.Sprint(row + 1), firstNames[i%len(firstNames)], lastNames[i/len(firstNames)%len(lastNames)], address, number, second})
	}
	out.Flush()
	return out.Error()
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	b := bufio.NewWriter(f)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}
