package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
)

// printReport writes a result to standard output: as JSON for machines, or as
// text says.
func printReport[T any](asJSON bool, v T, text func(io.Writer, T)) error {
	w := bufio.NewWriter(os.Stdout)
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err
		}
	} else {
		text(w, v)
	}
	return w.Flush()
}
