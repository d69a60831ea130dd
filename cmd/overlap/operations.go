package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/overlap-psi/overlap/server"
)

// operations is what an operator's tools read: /metrics for Prometheus, /healthz
// and /readyz for whoever starts and stops the process. It is plain HTTP, for a
// private address, and shows sizes with pads, outcomes and times of sessions:
// nothing that depends on what matched.
type operations struct {
	registry *prometheus.Registry
	running  *prometheus.GaugeVec
	sessions *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	queries  *prometheus.CounterVec
	entries  *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

func newOperations() *operations {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	f := promauto.With(registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &operations{
		registry: registry,
		running:  f.NewGaugeVec(prometheus.GaugeOpts{Name: "overlap_sessions_running", Help: "Sessions that run now."}, []string{"partner"}),
		sessions: counter("overlap_sessions_total", "Sessions that have ended, by how.", "partner", "outcome"),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "overlap_session_duration_seconds", Help: "How long sessions took.",
			Buckets: []float64{1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800},
		}, []string{"partner"}),
		queries: counter("overlap_queries_total", "Elements asked about, pads included.", "partner"),
		entries: counter("overlap_entries_total", "Entries of received tables, pads included.", "partner"),
		refused: counter("overlap_refused_total", "Calls that were refused before any session.", "partner", "reason"),
	}
}

// watch counts sessions.
func (o *operations) watch() server.Watch {
	return server.Watch{
		Started: func(partner string) { o.running.WithLabelValues(partner).Inc() },
		Ended: func(e server.Ended) {
			o.running.WithLabelValues(e.Partner).Dec()
			o.sessions.WithLabelValues(e.Partner, e.Outcome).Inc()
			o.seconds.WithLabelValues(e.Partner).Observe(e.Took.Seconds())
			o.queries.WithLabelValues(e.Partner).Add(float64(e.Queries))
			o.entries.WithLabelValues(e.Partner).Add(float64(e.Entries))
		},
		Refused: func(partner, reason string) { o.refused.WithLabelValues(partner, reason).Inc() },
	}
}

// certificate shows until when the identity's certificate is good.
func (o *operations) certificate(until time.Time) {
	promauto.With(o.registry).NewGauge(prometheus.GaugeOpts{
		Name: "overlap_certificate_expiry_timestamp_seconds", Help: "When the certificate of this identity expires, in Unix time.",
	}).Set(float64(until.Unix()))
}

// serve answers on a listener until the function it returns is called. Readiness
// is what gRPC's health service says: it goes before a stop, and with the store.
func (o *operations) serve(l net.Listener, health healthpb.HealthServer) (stop func() error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answer, err := health.Check(r.Context(), &healthpb.HealthCheckRequest{})
		if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	return func() error {
		err := h.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
}

// tracing returns the server's options that export a trace of each call, if the
// environment asks for it as OpenTelemetry's specification says, and none
// otherwise. stop sends what is left.
func tracing(ctx context.Context) (options []grpc.ServerOption, stop func(context.Context) error, err error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracegrpc.New(ctx) // reads the rest of OTEL_EXPORTER_OTLP_*
	if err != nil {
		return nil, nil, fmt.Errorf("tracing: %w", err)
	}
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, nil, fmt.Errorf("tracing: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	handler := otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(provider))
	return []grpc.ServerOption{grpc.StatsHandler(handler)}, provider.Shutdown, nil
}
