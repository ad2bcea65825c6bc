//go:build interop

package interop

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestMain lets more tests run at a time than there are processors: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", "8")
	}
	os.Exit(m.Run())
}

// table collects rows of Markdown from tests that run in parallel.
type table struct {
	mu   sync.Mutex
	rows []string
}

func (s *table) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, fmt.Sprintf(format, args...))
}

// print logs the table. If MOQ_INTEROP_TABLES names a folder, it is also written there.
func (s *table) print(t *testing.T, name, head string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.rows)
	rule := "|" + strings.Repeat("---|", strings.Count(head, "|")-1)
	text := strings.Join(append([]string{head, rule}, s.rows...), "\n") + "\n"
	t.Logf("for docs/INTEROP.md, %d %s:\n%s", len(s.rows), name, text)
	if dir := os.Getenv("MOQ_INTEROP_TABLES"); dir != "" {
		if err := os.WriteFile(dir+"/"+name+".md", []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}
