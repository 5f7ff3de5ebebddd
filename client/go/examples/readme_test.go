package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var block = regexp.MustCompile("(?s)```go\n(.*?)```")

func TestEachProgramOfTheReadmeIsOneThatIsCompiled(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*/main.go")
	if err != nil || len(files) != 2 {
		t.Fatalf("the examples: %v, %v", files, err)
	}
	compiled := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compiled[strings.TrimPrefix(string(text), "//go:build linux\n\n")] = true
	}
	blocks := block.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != len(files) {
		t.Fatalf("the README has %d programs, and there are %d examples", len(blocks), len(files))
	}
	for _, one := range blocks {
		if !compiled[one[1]] {
			t.Errorf("not among the examples:\n%s", one[1])
		}
	}
}
