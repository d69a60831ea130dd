package psi

import "fmt"

// Mode says which company is Holder, which is Querier, and who learns what
// (PROTOCOL.md §1). Its value is the mode's code on the wire.
type Mode uint8

// The modes of PROTOCOL.md §1. SPLIT (0x05) is refused in version 1.
const (
	ALearns Mode = 0x01 // Holder = platform, Querier = advertiser
	PLearns Mode = 0x02 // Holder = advertiser, Querier = platform; the default
	MutualA Mode = 0x03 // as ALearns, then claims
	MutualP Mode = 0x04 // as PLearns, then claims
)

// Valid reports whether m is one of these modes.
func (m Mode) Valid() bool { return modeNames[m] != "" }

// AdvertiserAsks reports whether the advertiser is Querier and the platform Holder,
// or else the other way round.
func (m Mode) AdvertiserAsks() bool { return m == ALearns || m == MutualA }

// Claims reports whether the Querier tells the Holder its matches: CLAIMS.
func (m Mode) Claims() bool { return m == MutualA || m == MutualP }

// Releases reports whether the advertiser is told one noised count: RELEASE.
func (m Mode) Releases() bool { return m == PLearns }

// FillsAudience reports whether the platform learns matches, which are stored
// under a name of the advertiser's.
func (m Mode) FillsAudience() bool { return m != ALearns }

var modeNames = map[Mode]string{ALearns: "A_LEARNS", PLearns: "P_LEARNS", MutualA: "MUTUAL_A", MutualP: "MUTUAL_P"}

// ParseMode returns the mode of the given name, such as "P_LEARNS".
func ParseMode(name string) (Mode, error) {
	for m, n := range modeNames {
		if n == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("psi: unknown mode")
}

func (m Mode) String() string {
	if n, ok := modeNames[m]; ok {
		return n
	}
	return fmt.Sprintf("Mode(%#02x)", uint8(m))
}
