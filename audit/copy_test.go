package audit

import (
	"bytes"
	"testing"
	"testing/fstest"
)

// A copy is the log at one checkpoint, whatever is appended meanwhile.
func TestCopyIsTheLog(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 600} {
		l := openLog(t, t.TempDir())
		add(t, l, n)
		tree := l.Tree()
		add(t, l, 3)
		copied := fstest.MapFS{}
		err := tree.Copy(func(name string, content []byte) error {
			copied[name] = &fstest.MapFile{Data: bytes.Clone(content)}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		report, err := Verify(copied, Expect{Log: ownLog(t)})
		if err != nil || report.Size != int64(n) {
			t.Errorf("%d entries: the copy has %v, %v", n, report, err)
		}
	}
}
