package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// A published log's tiles. The library puts a tile's height into its path; C2SP tlog-tiles leaves it away.
type folder struct {
	path string
	read map[tlog.Tile][]byte
}

func newFolder(path string) *folder { return &folder{path, map[tlog.Tile][]byte{}} }

func (f *folder) Height() int                     { return height }
func (f *folder) SaveTiles([]tlog.Tile, [][]byte) {}
func (f *folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	read := make([][]byte, len(tiles))
	for at, tile := range tiles {
		var err error
		if read[at], err = f.tile(tile); err != nil {
			return nil, err
		}
	}
	return read, nil
}

func (f *folder) tile(tile tlog.Tile) ([]byte, error) {
	if raw, known := f.read[tile]; known {
		return raw, nil
	}
	path := strings.Replace(strings.TrimPrefix(tile.Path(), "tile/8/"), "data/", "entries/", 1)
	raw, err := os.ReadFile(filepath.Join(f.path, "tile", filepath.FromSlash(path)))
	if err == nil {
		f.read[tile] = raw
	}
	return raw, err
}

// The entries of one bundle: each has two bytes of length before it.
func (f *folder) bundle(number, width int64) ([][]byte, error) {
	rest, err := f.tile(tlog.Tile{H: height, L: -1, N: number, W: int(width)})
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("bundle %d ends within an entry", number)
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries, rest = append(entries, rest[2:end]), rest[end:]
	}
	if int64(len(entries)) != width {
		return nil, fmt.Errorf("bundle %d has %d entries and not %d", number, len(entries), width)
	}
	return entries, nil
}

func checkLog(arguments []string) error {
	found, err := readCheckpoint(filepath.Join(arguments[0], "checkpoint"), arguments[1])
	if err != nil {
		return err
	}
	tree, tiles := found.tree, newFolder(arguments[0])
	hashes := tlog.TileHashReader(tree, tiles)
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		entries, err := tiles.bundle(first>>height, width)
		if err != nil {
			return err
		}
		for at, entry := range entries {
			index := first + int64(at)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
	}
	for older := int64(1); older <= tree.N; older++ {
		root, err := tlog.TreeHash(older, hashes)
		if err != nil {
			return err
		}
		if err := consistent(hashes, tree, tlog.Tree{N: older, Hash: root}); err != nil {
			return err
		}
	}
	fmt.Println(tree.N)
	return nil
}

func consistent(hashes tlog.HashReader, tree, older tlog.Tree) error {
	proof, err := tlog.ProveTree(tree.N, older.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash); err != nil {
		return fmt.Errorf("size %d: %w", older.N, err)
	}
	return nil
}

func checkSince(arguments []string) error {
	found, err := readCheckpoint(filepath.Join(arguments[0], "checkpoint"), arguments[1])
	if err != nil {
		return err
	}
	older, err := readCheckpoint(arguments[2], arguments[1])
	if err != nil {
		return err
	}
	return consistent(tlog.TileHashReader(found.tree, newFolder(arguments[0])), found.tree, older.tree)
}

// C2SP tlog-proof: a head line, perhaps an extra one, the index, hashes, an empty line, the checkpoint.
func checkProof(arguments []string) error {
	raw, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(arguments[2])
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(arguments[1])
	if err != nil {
		return err
	}
	head, signed, cut := strings.Cut(string(raw), "\n\n")
	lines := strings.Split(head, "\n")
	if !cut || lines[0] != "c2sp.org/tlog-proof@v1" || len(lines) < 2 {
		return errors.New("no proof of version 1")
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	found, err := openCheckpoint([]byte(signed), verifier)
	if err != nil {
		return err
	}
	fmt.Println(index)
	return tlog.CheckRecord(proof, found.tree.N, found.tree.Hash, index, tlog.RecordHash(entry))
}
