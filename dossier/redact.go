package dossier

import (
	"fmt"
	"log/slog"
)

// What names a person, or hides who matched, prints as this.
const redacted = "REDACTED"

// Format prints REDACTED, whatever the verb.
func (Person) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue logs REDACTED.
func (Person) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints REDACTED, whatever the verb.
func (Commitment) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue logs REDACTED.
func (Commitment) LogValue() slog.Value { return slog.StringValue(redacted) }
