package audience

import "github.com/overlap-psi/overlap/internal/sheet"

// ids are names of columns that hold an advertiser's own name for a row, as
// sheet.Key writes them.
var ids = map[string]bool{"externid": true, "externalid": true, "userid": true, "customerid": true, "id": true}

// IDColumn returns the position, from 1, of the first column that holds the
// file's own ids, and 0 if there is none. List never reads it: an id is for the
// advertiser, to find its rows again.
func (l *List) IDColumn() int {
	for i, name := range l.file.Header() {
		if ids[sheet.Key(name)] && l.columns[i].Role == Ignore {
			return i + 1
		}
	}
	return 0
}
