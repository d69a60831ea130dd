package evidence

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A Source has the seed, which with the salts opens everything.
func TestSourcePrintsRedacted(t *testing.T) {
	src := newWorld(t, 1, cheat{}).source()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "source", src, "by value", *src)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb, src, *src)
	}
	for _, secret := range [][]byte{src.Seed[:], src.SnapshotID[:]} {
		if strings.Contains(log.String(), hex.EncodeToString(secret[:8])) || strings.Contains(log.String(), fmt.Sprint(secret[0], secret[1])) ||
			bytes.Contains(log.Bytes(), secret[:8]) {
			t.Error("a Source prints its secrets")
		}
	}
	if strings.Count(log.String(), "REDACTED") != 14 {
		t.Error("a Source doesn't print as REDACTED")
	}
}
