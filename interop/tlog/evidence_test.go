package tlog

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// lockstep runs the program and gives what it prints.
func lockstep(t *testing.T, arguments ...string) string {
	t.Helper()
	program := os.Getenv("LOCKSTEP")
	if program == "" {
		t.Skip("LOCKSTEP does not name the program")
	}
	output, err := exec.Command(program, arguments...).Output()
	if err != nil {
		t.Fatalf("%v: %v", arguments, err)
	}
	return string(output)
}

// sample is a bundle with a signed checkpoint, and the keys that its ledger has on record.
func sample(t *testing.T) (string, Files, note.Verifiers) {
	t.Helper()
	dir := t.TempDir()
	lockstep(t, "audit", "demo", "stolen-key", dir)
	path := filepath.Join(dir, "history.tar")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files, err := ReadBundle(file)
	if err != nil {
		t.Fatal(err)
	}
	keys := lockstep(t, "audit", "vkeys", path)
	if keys != string(files["vkeys"]) {
		t.Errorf("the bundle has other keys than are printed")
	}
	verifiers, err := Verifiers(keys)
	if err != nil {
		t.Fatal(err)
	}
	return path, files, verifiers
}

func TestTheBundleIsALog(t *testing.T) {
	_, files, keys := sample(t)
	tree, err := Check(files, keys)
	if err != nil {
		t.Fatal(err)
	}
	if tree.N < 10 {
		t.Errorf("only %d records", tree.N)
	}
	// Whatever is altered of what the log vouches for is noticed.
	for name, content := range files {
		if strings.HasPrefix(name, "record/") || strings.HasPrefix(name, "aums/") || name == "vkeys" {
			continue
		}
		for at := 0; at < len(content); at += 11 {
			altered := bytes.Clone(content)
			altered[at] ^= 1
			files[name] = altered
			if _, err := Check(files, keys); err == nil {
				t.Errorf("%s: byte %d was altered, and nobody noticed", name, at)
			}
		}
		files[name] = content
	}
}

func TestProofsOfInclusion(t *testing.T) {
	path, files, keys := sample(t)
	tree, err := Check(files, keys)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := Entries(files, tree.N)
	if err != nil {
		t.Fatal(err)
	}
	for n, entry := range entries {
		text := lockstep(t, "audit", "prove", fmt.Sprint(n), path)
		proof, err := ParseProof(text, keys)
		if err != nil {
			t.Fatal(err)
		}
		if proof.Index != int64(n) || !bytes.Equal(proof.Extra, files[fmt.Sprintf("record/%d", n)]) {
			t.Errorf("proof %d is about another record", n)
		}
		leaf := tlog.RecordHash(entry)
		path := tlog.RecordProof(proof.Hashes)
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, int64(n), leaf); err != nil {
			t.Errorf("record %d: %v", n, err)
		}
		if len(path) > 0 {
			path[0][0] ^= 1
			if tlog.CheckRecord(path, tree.N, tree.Hash, int64(n), leaf) == nil {
				t.Errorf("record %d: an altered proof holds", n)
			}
		}
	}
}

func TestProofsOfConsistency(t *testing.T) {
	path, files, keys := sample(t)
	tree, err := Check(files, keys)
	if err != nil {
		t.Fatal(err)
	}
	reader := Reader(files, tree)
	for old := int64(1); old <= tree.N; old++ {
		proof, err := ParseProof(lockstep(t, "audit", "prove", "--from", fmt.Sprint(old), path), keys)
		if err != nil {
			t.Fatal(err)
		}
		before, err := tlog.TreeHash(old, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes := tlog.TreeProof(proof.Hashes)
		if err := tlog.CheckTree(hashes, tree.N, tree.Hash, old, before); err != nil {
			t.Errorf("from %d: %v", old, err)
		}
		before[0] ^= 1
		if tlog.CheckTree(hashes, tree.N, tree.Hash, old, before) == nil {
			t.Errorf("from %d: another beginning passes", old)
		}
	}
}
