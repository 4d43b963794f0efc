// Package tlog checks evidence of a Lockstep ledger with Go's own transparency-log packages
// (golang.org/x/mod/sumdb/note and tlog) and nothing of Lockstep's.
package tlog

import (
	"archive/tar"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The height of a tile: 256 hashes.
const tileHeight = 8

// Files are those of a bundle, or below a log's prefix, by name.
type Files map[string][]byte

// ReadBundle reads an evidence bundle.
func ReadBundle(from io.Reader) (Files, error) {
	files := Files{}
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		files[header.Name] = content
	}
}

// Verifiers reads a verifier key a line.
func Verifiers(text string) (note.Verifiers, error) {
	var all []note.Verifier
	for _, line := range strings.Fields(text) {
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return note.VerifierList(all...), nil
}

// Open verifies a checkpoint and gives its origin and its tree.
func Open(checkpoint []byte, keys note.Verifiers) (origin string, tree tlog.Tree, err error) {
	opened, err := note.Open(checkpoint, keys)
	if err != nil {
		return "", tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return "", tree, errors.New("a checkpoint is three lines")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return "", tree, err
	}
	if tree.Hash, err = parseHash(lines[2]); err != nil {
		return "", tree, err
	}
	if opened.Sigs[0].Name != lines[0] {
		return "", tree, fmt.Errorf("signed as %s for %s", opened.Sigs[0].Name, lines[0])
	}
	return lines[0], tree, nil
}

func parseHash(line string) (hash tlog.Hash, err error) {
	bytes, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || len(bytes) != tlog.HashSize {
		return hash, fmt.Errorf("no hash: %q", line)
	}
	copy(hash[:], bytes)
	return hash, nil
}

// tiles reads tiles from files, by the paths of c2sp.org/tlog-tiles, which leave out the height.
type tiles Files

func (tiles) Height() int { return tileHeight }

func (files tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
		content, ok := files[path]
		if !ok {
			return nil, fmt.Errorf("no %s", path)
		}
		read = append(read, content)
	}
	return read, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// Reader gives the hashes of the tree, each authenticated by its root.
func Reader(files Files, tree tlog.Tree) tlog.HashReader {
	return tlog.TileHashReader(tree, tiles(files))
}

// Entries are the data of all leaves, from the entry bundles.
func Entries(files Files, size int64) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*256 < size; n++ {
		tile := tlog.Tile{H: tileHeight, L: 0, N: n, W: int(min(size-n*256, 256))}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", tileHeight), "tile/entries/", 1)
		rest := files[path]
		for i := 0; i < tile.W; i++ {
			if len(rest) < 2 {
				return nil, fmt.Errorf("%s is too short", path)
			}
			length := int(rest[0])<<8 | int(rest[1])
			if len(rest) < 2+length {
				return nil, fmt.Errorf("%s is too short", path)
			}
			entries = append(entries, rest[2:2+length])
			rest = rest[2+length:]
		}
		if len(rest) > 0 {
			return nil, fmt.Errorf("%s is too long", path)
		}
	}
	return entries, nil
}

// Rebuild makes the root anew from the entries alone.
func Rebuild(entries [][]byte) (tlog.Hash, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(stored)) {
				return nil, errors.New("beyond the tree")
			}
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for n, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(n), entry, reader)
		if err != nil {
			return tlog.Hash{}, err
		}
		stored = append(stored, hashes...)
	}
	return tlog.TreeHash(int64(len(entries)), reader)
}

// Check verifies everything that the log's keys vouch for: the checkpoint, every tile, and that
// the entries are those of the tree.
func Check(files Files, keys note.Verifiers) (tlog.Tree, error) {
	_, tree, err := Open(files["checkpoint"], keys)
	if err != nil {
		return tree, err
	}
	entries, err := Entries(files, tree.N)
	if err != nil {
		return tree, err
	}
	reader := Reader(files, tree)
	for n, entry := range entries {
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(n))})
		if err != nil {
			return tree, err
		}
		if hashes[0] != tlog.RecordHash(entry) {
			return tree, fmt.Errorf("entry %d is not that of the tree", n)
		}
	}
	root, err := Rebuild(entries)
	if err != nil {
		return tree, err
	}
	if root != tree.Hash {
		return tree, errors.New("the entries have another root")
	}
	return tree, nil
}

// Proof is a c2sp.org/tlog-proof, or the body of an add-checkpoint of c2sp.org/tlog-witness.
type Proof struct {
	Old, Index int64
	Extra      []byte
	Hashes     []tlog.Hash
	Tree       tlog.Tree
}

// ParseProof reads a proof and verifies its checkpoint.
func ParseProof(text string, keys note.Verifiers) (*Proof, error) {
	head, checkpoint, found := strings.Cut(text, "\n\n")
	if !found {
		return nil, errors.New("no checkpoint")
	}
	proof := &Proof{Old: -1, Index: -1}
	lines := strings.Split(head, "\n")
	var err error
	if old, ok := strings.CutPrefix(lines[0], "old "); ok {
		proof.Old, err = strconv.ParseInt(old, 10, 64)
		lines = lines[1:]
	} else if lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("no proof")
	} else {
		lines = lines[1:]
		if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
			if proof.Extra, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil {
				return nil, err
			}
			lines = lines[1:]
		}
		index, _ := strings.CutPrefix(lines[0], "index ")
		proof.Index, err = strconv.ParseInt(index, 10, 64)
		lines = lines[1:]
	}
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		hash, err := parseHash(line)
		if err != nil {
			return nil, err
		}
		proof.Hashes = append(proof.Hashes, hash)
	}
	_, proof.Tree, err = Open([]byte(checkpoint), keys)
	return proof, err
}
