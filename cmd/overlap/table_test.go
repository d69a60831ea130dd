package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// What stays wrong is logged once, what changes each time, and that it is over.
func TestTendingIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	said := saidOnce{log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, text := range []string{"", "damaged", "damaged", "damaged", "no room", "no room", "", "", "damaged"} {
		var err error
		if text != "" {
			err = errors.New(text)
		}
		said.result(err)
	}
	var got []string
	for line := range strings.Lines(log.String()) {
		level, _, _ := strings.Cut(line[strings.Index(line, "level="):], " ")
		_, text, _ := strings.Cut(line, "error=")
		got = append(got, level+" "+strings.TrimSpace(text))
	}
	want := `level=ERROR damaged|level=ERROR "no room"|level=INFO |level=ERROR damaged`
	if strings.Join(got, "|") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, "|"), want)
	}
}
