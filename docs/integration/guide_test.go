package main

import (
	"os"
	"strings"
	"testing"
)

// The guide shows the clients as they are: bench/apptest runs them.
func TestGuideShowsTheClients(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../integration.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, language := range map[string]string{"client.go": "go", "client.py": "python", "client.mjs": "js"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if block := "```" + language + "\n" + string(code) + "```\n"; !strings.Contains(string(guide), block) {
			t.Errorf("docs/integration.md does not show docs/integration/%s as it is: copy the file into its block", file)
		}
	}
}
