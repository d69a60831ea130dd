package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health"

	"github.com/overlap-psi/overlap/server"
)

// get returns the status and the body of a page of the operations.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestOperations(t *testing.T) {
	o, h := newOperations(), health.NewServer()
	o.certificate(time.Unix(1_800_000_000, 0))
	l, err := listen("--operations", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	stop := o.serve(l, h)
	w := o.watch()
	w.Started("shop")
	w.Started("shop")
	w.Ended(server.Ended{Partner: "shop", Outcome: "complete", Took: 2 * time.Second, Queries: 1024, Entries: 2048})
	w.Refused("", "unknown")
	w.Refused("shop", "busy")

	_, page := get(t, "http://"+address+"/metrics")
	for _, line := range []string{
		`overlap_sessions_running{partner="shop"} 1`,
		`overlap_sessions_total{outcome="complete",partner="shop"} 1`,
		`overlap_session_duration_seconds_bucket{partner="shop",le="3"} 1`,
		`overlap_queries_total{partner="shop"} 1024`,
		`overlap_entries_total{partner="shop"} 2048`,
		`overlap_refused_total{partner="",reason="unknown"} 1`,
		`overlap_refused_total{partner="shop",reason="busy"} 1`,
		`overlap_certificate_expiry_timestamp_seconds 1.8e+09`,
		`go_goroutines`, `process_resident_memory_bytes`, `go_build_info`,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if code, body := get(t, "http://"+address+"/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, _ := get(t, "http://"+address+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
	h.Shutdown() // the first thing that a stop does
	if code, _ := get(t, "http://"+address+"/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a server that stops: %d", code)
	}
	if code, _ := get(t, "http://"+address+"/healthz"); code != http.StatusOK {
		t.Errorf("/healthz of a server that stops: %d", code)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Nothing is traced unless the environment says where to.
func TestTracingIsOffUnlessConfigured(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	options, stop, err := tracing(context.Background())
	if err != nil || len(options) != 0 {
		t.Errorf("%d options, %v", len(options), err)
	}
	if err := stop(context.Background()); err != nil {
		t.Error(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	options, stop, err = tracing(context.Background())
	if err != nil || len(options) != 1 {
		t.Fatalf("%d options, %v", len(options), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := stop(ctx); err != nil {
		t.Error(err)
	}
}
