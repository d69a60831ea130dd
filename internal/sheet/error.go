package sheet

import "fmt"

// Reason is why a file can't be read, or can't be read further. The list is
// closed.
type Reason uint8

// The reasons. Each has one sentence, in Error's text.
const (
	Empty Reason = iota + 1
	HeaderOnly
	Binary
	Workbook
	Parquet
	JSON
	Compression
	UTF16
	FieldTooLong
	RowTooLong
	OpenQuote
	Truncated
	Damaged
	Changed
)

var sentences = [...]string{
	Empty:        "the file is empty",
	HeaderOnly:   "the file has a header and no rows",
	Binary:       "the file is binary, not text",
	Workbook:     "the file is a workbook or an archive: save the sheet as CSV UTF-8",
	Parquet:      "the file is Parquet: export it as CSV",
	JSON:         "the file is JSON: export it as CSV",
	Compression:  "the file is compressed in a way that isn't read here: use gzip or zstd, once",
	UTF16:        "the file is UTF-16: save it as UTF-8",
	FieldTooLong: "a field is longer than 65,536 bytes, as when a quote is never closed",
	RowTooLong:   "a row is longer than 1,048,576 bytes",
	OpenQuote:    "a quote is opened and never closed",
	Truncated:    "the compressed file ends too early: copy or export it again",
	Damaged:      "the compressed file is damaged: copy or export it again",
	Changed:      "the file was changed while it was read: wait until it is whole, and begin again",
}

// Error says why a file can't be read. It holds no part of the file.
type Error struct {
	Name   string // of the file, as it was opened; empty if unknown
	Reason Reason
	Line   int   // 1-based line on which the field or row starts; 0 if the reason has no place
	Err    error // what the decompressor said, or nil
}

func (e *Error) Error() string {
	at := "sheet: "
	if e.Name != "" {
		at += e.Name + ": "
	}
	if e.Line > 0 {
		at += fmt.Sprintf("line %d: ", e.Line)
	}
	return at + sentences[e.Reason]
}

// Unwrap returns the decompressor's error.
func (e *Error) Unwrap() error { return e.Err }
