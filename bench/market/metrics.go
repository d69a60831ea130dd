package market

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Metrics are what /metrics of --operations shows: of each name the sum over all
// labels.
type Metrics map[string]float64

// ReadMetrics asks a server's operations address.
func ReadMetrics(ctx context.Context, address string) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	// A connection that stays would be one of the server's goroutines and files.
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("market: metrics: status %d", answer.StatusCode)
	}
	return parseMetrics(answer.Body)
}

// parseMetrics reads the text format of Prometheus as far as it is needed here:
// a name, labels perhaps, a number.
func parseMetrics(r io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("market: metrics: %w", err)
		}
		name, _, _ := strings.Cut(line[:max(end, 0)], "{")
		m[name] += value
	}
	return m, lines.Err()
}
