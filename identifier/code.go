package identifier

// Code says what became of one row of a file, or why a value has no
// identifier. The list is closed. Reports count rows by Code, and show no value
// beside it.
//
// As an error, a Code says why Normalize or ParseSum refused a value. Success
// is a nil error there, never OK.
type Code string

// The codes of a row and of a value of any kind.
const (
	OK          Code = "OK"
	OKDuplicate Code = "OK_DUPLICATE" // admitted before, in the same list
	Empty       Code = "EMPTY"        // nothing left once the ends are stripped
	NotUTF8     Code = "NOT_UTF8"
	RowWidth    Code = "ROW_WIDTH" // another number of fields than the header
)

// The codes of an e-mail address.
const (
	EmailNoAt           Code = "EMAIL_NO_AT"
	EmailMultipleAt     Code = "EMAIL_MULTIPLE_AT"
	EmailEmptyLocal     Code = "EMAIL_EMPTY_LOCAL" // also: Gmail's rule left nothing
	EmailEmptyDomain    Code = "EMAIL_EMPTY_DOMAIN"
	EmailDomain         Code = "EMAIL_DOMAIN" // no dot, an empty label, or one over 63 bytes
	EmailSpace          Code = "EMAIL_SPACE"
	EmailCharacter      Code = "EMAIL_CHARACTER" // a control, an invisible character, or one of ()<>[]:;\,"
	EmailNonASCII       Code = "EMAIL_NON_ASCII"
	EmailTooLong        Code = "EMAIL_TOO_LONG"        // over 254 bytes
	EmailPlaceholder    Code = "EMAIL_PLACEHOLDER"     // "n/a", "null", "test@test.com" and their like
	EmailMultipleValues Code = "EMAIL_MULTIPLE_VALUES" // several addresses in one field
)

// The codes of a phone number.
const (
	PhoneNoCountry  Code = "PHONE_NO_COUNTRY"  // neither a plus nor a default region
	PhoneBadCountry Code = "PHONE_BAD_COUNTRY" // no such calling code, or no such region
	PhoneLength     Code = "PHONE_LENGTH"
	PhoneInvalid    Code = "PHONE_INVALID" // not a number, or one that its country never gave out
	PhoneLetters    Code = "PHONE_LETTERS" // "1-800-FLOWERS"; see Options.Vanity
	ExcelScientific Code = "EXCEL_SCIENTIFIC"
)

// The codes of a value that came hashed.
const (
	HashLength        Code = "HASH_LENGTH"
	HashAlphabet      Code = "HASH_ALPHABET" // neither hexadecimal nor Base64
	HashPrefix        Code = "HASH_PREFIX"   // "0x", "\x", "sha256:", "sha256-"
	HashAlgorithm     Code = "HASH_ALGORITHM"
	HashDoubleEncoded Code = "HASH_DOUBLE_ENCODED" // an encoding of the hexadecimal digits
	HashOfJunk        Code = "HASH_OF_JUNK"        // SHA-256 of nothing, "null", "n/a" and their like
)

// The codes of a row that held an identifier which may not be used.
const (
	Suppressed          Code = "SUPPRESSED"
	ConsentDenied       Code = "CONSENT_DENIED"
	ConsentMissing      Code = "CONSENT_MISSING"
	ConsentUnknown      Code = "CONSENT_UNKNOWN"
	ConsentMalformed    Code = "CONSENT_MALFORMED"
	ConsentExpired      Code = "CONSENT_EXPIRED"
	JurisdictionUnknown Code = "JURISDICTION_UNKNOWN"
)

// Codes has every Code once, in the order in which reports list them.
var Codes = [...]Code{
	OK, OKDuplicate, Empty, NotUTF8, RowWidth,
	EmailNoAt, EmailMultipleAt, EmailEmptyLocal, EmailEmptyDomain, EmailDomain, EmailSpace,
	EmailCharacter, EmailNonASCII, EmailTooLong, EmailPlaceholder, EmailMultipleValues,
	PhoneNoCountry, PhoneBadCountry, PhoneLength, PhoneInvalid, PhoneLetters, ExcelScientific,
	HashLength, HashAlphabet, HashPrefix, HashAlgorithm, HashDoubleEncoded, HashOfJunk,
	Suppressed, ConsentDenied, ConsentMissing, ConsentUnknown, ConsentMalformed, ConsentExpired,
	JurisdictionUnknown,
}

// Error returns the code after the package's name; string(c) is the bare code.
func (c Code) Error() string { return "identifier: " + string(c) }
