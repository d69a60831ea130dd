package audience

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// Role is what a column means. Its text is what Options.Columns takes.
type Role string

// The roles. There may be any number of columns of each, but of gpp_string and
// gpp_sid one.
const (
	Email       Role = "email"
	Phone       Role = "phone"
	EmailSHA256 Role = "email_sha256"
	PhoneSHA256 Role = "phone_sha256"

	Consent           Role = "consent"            // the advertiser's own record, in a word
	AdUserData        Role = "ad_user_data"       // with the next, both needed
	AdPersonalization Role = "ad_personalization" //
	OptOut            Role = "opt_out"            // true excludes
	GPC               Role = "gpc"                // Global Privacy Control: true excludes
	USPrivacy         Role = "us_privacy"         // "1YNN"
	TCString          Role = "tc_string"          // of the IAB's TCF: see consent/signal
	GPPString         Role = "gpp_string"         // of its GPP
	GPPSID            Role = "gpp_sid"            // the sections of gpp_string that apply

	Jurisdiction Role = "jurisdiction" // in this order, the first that can be read decides
	Country      Role = "country"
	Region       Role = "region" // weaker: see readJurisdiction
	State        Role = "state"

	Ignore Role = "ignore" // never read: names, places, row ids, what isn't recognised
)

// Roles are all of them, in the order in which they are explained.
var Roles = []Role{
	Email, Phone, EmailSHA256, PhoneSHA256,
	Consent, AdUserData, AdPersonalization, OptOut, GPC, USPrivacy, TCString, GPPString, GPPSID,
	Jurisdiction, Country, Region, State, Ignore,
}

// What a header can be besides a role: questions that only the advertiser can
// answer. They are never in a List.
const (
	device  Role = "?device" // an advertising id of a device
	hashed  Role = "?hashed" // a hash, but of what?
	contact Role = "?contact"
)

// headers are the names that platforms' templates and exports use, as
// sheet.Key writes them, in English and what is usual in German, French and
// Spanish. A number after "email" or "phone" and their synonyms is dropped first.
var headers = map[string]Role{
	"email": Email, "emailaddress": Email, "em": Email, "mail": Email, "courriel": Email, "correo": Email,
	"emailadresse": Email, "mailadresse": Email, "adresseemail": Email, "adressemail": Email, "adressecourriel": Email,
	"correoelectronico": Email, "correoelectrónico": Email,
	"emailsha256": EmailSHA256, "emailhash": EmailSHA256, "hashedemail": EmailSHA256, "hem": EmailSHA256,
	"phonenumber": Phone, "mobilenumber": Phone, "mobilephone": Phone, "mobilephonenumber": Phone, "telephonenumber": Phone,
	"cell": Phone, "cellphone": Phone, "cellphonenumber": Phone,
	"phone": Phone, "mobile": Phone, "tel": Phone, "telephone": Phone, "téléphone": Phone,
	"telefon": Phone, "telefonnummer": Phone, "handy": Phone, "handynummer": Phone,
	"mobil": Phone, "mobilnummer": Phone, "mobiltelefon": Phone, "portable": Phone,
	"numérodetéléphone": Phone, "numerodetelephone": Phone, "téléphoneportable": Phone, "téléphonemobile": Phone,
	"telefono": Phone, "teléfono": Phone, "movil": Phone, "móvil": Phone, "celular": Phone,
	"phonesha256": PhoneSHA256, "phonehash": PhoneSHA256, "hashedphone": PhoneSHA256,

	"firstname": Ignore, "fn": Ignore, "lastname": Ignore, "surname": Ignore, "ln": Ignore, "name": Ignore,
	"zip": Ignore, "postalcode": Ignore, "ct": Ignore, "city": Ignore, "st": Ignore,
	"address": Ignore, "address1": Ignore, "address2": Ignore,
	"externid": Ignore, "externalid": Ignore, "userid": Ignore, "customerid": Ignore, "id": Ignore,

	"madid": device, "maid": device, "googleaid": device, "idfa": device, "mobiledeviceid": device,

	"hash": hashed, "sha256": hashed, "idhash": hashed, "hashid": hashed, "hashedid": hashed, "hashed": hashed,
	"sha256hash": hashed, "hashsha256": hashed, "idsha256": hashed, "userhash": hashed, "customerhash": hashed,
	"identifierhash": hashed, "hashedidentifier": hashed, "identifiersha256": hashed, "useridhash": hashed,
	"identifier": contact, "contact": contact, "emailphone": contact, "emailorphone": contact, "phoneoremail": contact,

	"consent":    Consent,
	"aduserdata": AdUserData, "aduserdataconsentstatus": AdUserData,
	"adpersonalization": AdPersonalization, "adpersonalizationconsentstatus": AdPersonalization,
	"optin": Consent, "optedin": Consent,
	"optout": OptOut, "optedout": OptOut, "unsubscribed": OptOut, "donotsell": OptOut, "gpc": GPC, "usprivacy": USPrivacy,
	"tcstring": TCString, "gppstring": GPPString, "gppsid": GPPSID,

	"jurisdiction": Jurisdiction, "country": Country, "region": Region, "state": State,
}

// numbered are the stems that a number may follow; of two that begin alike the
// longer comes first.
var numbered = []string{
	"emailadresse", "email", "em", "mail", "courriel", "correo", "address",
	"phone", "mobile", "mobil", "móvil", "movil", "handy", "portable", "celular",
	"telephone", "téléphone", "telefono", "teléfono", "telefonnummer", "telefon", "tel",
}

// recognise returns the role of a header name, and whether the name is known.
func recognise(name string) (r Role, known bool) {
	key := sheet.Key(name)
	for _, stem := range numbered {
		if rest, ok := strings.CutPrefix(key, stem); ok {
			key = stem + strings.TrimLeft(rest, "0123456789")
			break
		}
	}
	if r, known = headers[key]; known {
		return r, true
	}
	if signal := sheet.Signal(name); signal != "" {
		return Role(signal), true
	}
	return Ignore, false
}

// Column is one column of the file and what it was taken for.
type Column struct {
	Position int    `json:"position"` // from 1
	Name     string `json:"name"`     // as a message may show it
	Role     Role   `json:"role"`
	Known    bool   `json:"known"` // the header's name is a known one, or Options.Columns said the role
}

// String returns the column's position and, where it may be shown, its name.
func (c Column) String() string {
	if c.Name == "" || c.Name == sheet.Hidden {
		return strconv.Itoa(c.Position)
	}
	return fmt.Sprintf("%d (%q)", c.Position, c.Name)
}

// columns gives each column its role, or asks.
func columns(header []string, answers map[string]string) ([]Column, error) {
	cols := make([]Column, len(header))
	somebody := slices.ContainsFunc(header, sheet.LooksLikeValue)
	for i, name := range header {
		r, known := recognise(name)
		cols[i] = Column{Position: i + 1, Name: sheet.Name(name), Role: r, Known: known}
		if somebody && !known {
			cols[i].Name = sheet.Hidden // it may be a cell of theirs
		}
	}
	if err := answer(cols, header, answers); err != nil {
		return nil, err
	}
	return cols, ask(cols, header)
}

// answer applies Options.Columns. No answer takes away what a column says of consent:
// who has opted out would be matched.
func answer(cols []Column, header []string, answers map[string]string) error {
	for _, role := range answers {
		if !slices.Contains(Roles, Role(role)) {
			return &HeaderError{Problem: UnknownRole}
		}
	}
	said := sheet.Answered(header, answers)
	if said == nil {
		return &HeaderError{Problem: UnknownColumn}
	}
	for i, role := range said {
		switch c := &cols[i]; {
		case role == "":
		case c.Role.isConsent() && c.Role != Role(role):
			return &HeaderError{AlwaysRead, []Column{*c}}
		default:
			c.Role, c.Known = Role(role), true
		}
	}
	return nil
}

// ask returns the first question that the columns leave open.
func ask(cols []Column, header []string) error {
	identifiers := 0
	once := map[Role]Column{} // of GPP: which gpp_sid speaks of which string can't be told
	for _, c := range cols {
		switch {
		case c.Role == device:
			return &HeaderError{Device, []Column{c}}
		case c.Role == hashed:
			return &HeaderError{HashOfWhat, []Column{c}}
		case c.Role == contact:
			return &HeaderError{WhichKind, []Column{c}}
		case c.Role.isIdentifier():
			identifiers++
		case c.Role == GPPString, c.Role == GPPSID:
			if first, twice := once[c.Role]; twice {
				return &HeaderError{SameMeaning, []Column{first, c}}
			}
			once[c.Role] = c
		}
	}
	switch {
	case identifiers > 0:
		return askAboutConsent(cols, header)
	case slices.ContainsFunc(header, sheet.LooksLikeValue):
		return &HeaderError{Problem: NoHeader}
	}
	return &HeaderError{NoIdentifier, cols}
}

// askAboutConsent returns a question if a column may hold refusals that would not
// be read.
func askAboutConsent(cols []Column, header []string) error {
	for i, c := range cols {
		if !c.Known && sheet.LooksLikeConsent(header[i]) {
			return &HeaderError{AboutConsent, []Column{c}}
		}
	}
	return nil
}

func (r Role) isIdentifier() bool { return r.kind() != 0 }

// kind returns the kind of the identifiers in a column, 0 if there are none.
func (r Role) kind() identifier.Kind {
	switch r {
	case Email, EmailSHA256:
		return identifier.Email
	case Phone, PhoneSHA256:
		return identifier.Phone
	}
	return 0
}

func (r Role) isPlace() bool {
	return r == Jurisdiction || r == Country || r == Region || r == State
}

func (r Role) isConsent() bool {
	switch r {
	case Consent, AdUserData, AdPersonalization, OptOut, GPC, USPrivacy, TCString, GPPString, GPPSID:
		return true
	}
	return false
}
