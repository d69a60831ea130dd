package psi

import (
	"fmt"
	"log/slog"
)

// Whatever holds a secret or stands for a person prints as REDACTED: by value
// and by reference, with every verb of fmt, in structured logs and in JSON. fmt
// doesn't call Format on unexported fields, so what contains such values needs
// methods too: a Querier keeps its queries until they are answered.
const redacted = "REDACTED"

func redact(f fmt.State) { fmt.Fprint(f, redacted) }

// Format prints REDACTED, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { redact(f) }

// LogValue keeps keys out of structured logs.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints REDACTED, whatever the verb.
func (Seed) Format(f fmt.State, _ rune) { redact(f) }

// LogValue keeps seeds out of structured logs.
func (Seed) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps seeds out of JSON. There is no UnmarshalText.
func (Seed) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints REDACTED, whatever the verb.
func (Output) Format(f fmt.State, _ rune) { redact(f) }

// LogValue keeps outputs out of structured logs.
func (Output) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps outputs out of JSON. There is no UnmarshalText.
func (Output) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints REDACTED, whatever the verb.
func (Query) Format(f fmt.State, _ rune) { redact(f) }

// LogValue keeps queries out of structured logs.
func (Query) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps queries out of JSON. There is no UnmarshalText.
func (Query) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints REDACTED, whatever the verb.
func (round) Format(f fmt.State, _ rune) { redact(f) }

// LogValue keeps sessions out of structured logs.
func (round) LogValue() slog.Value { return slog.StringValue(redacted) }
