package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// C2SP tlog-cosignature: its algorithm byte; a time of eight bytes stands before the signature.
const cosignature = 4

// A checkpoint (C2SP tlog-checkpoint) and the note it came in.
type checkpoint struct {
	origin string
	tree   tlog.Tree
	note   *note.Note
}

func openCheckpoint(raw []byte, verifiers ...note.Verifier) (*checkpoint, error) {
	opened, err := note.Open(raw, note.VerifierList(verifiers...))
	if err != nil {
		return nil, err
	}
	if len(opened.Sigs) != len(verifiers) {
		return nil, fmt.Errorf("%d signatures verify and not %d", len(opened.Sigs), len(verifiers))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 {
		return nil, errors.New("a checkpoint of fewer than three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return nil, fmt.Errorf("%q is no size", lines[1])
	}
	hash, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, err
	}
	if lines[0] != verifiers[0].Name() {
		return nil, fmt.Errorf("the origin is %q, the key's name %q", lines[0], verifiers[0].Name())
	}
	return &checkpoint{lines[0], tlog.Tree{N: size, Hash: hash}, opened}, nil
}

func readCheckpoint(path, key string) (*checkpoint, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return openCheckpoint(raw, verifier)
}

func formatCheckpoint(origin string, tree tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, tree.Hash)
}

// A witness's key, as a verifier of cosignatures: the library knows signatures of logs alone.
type witnessKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newWitnessKey(text string) (*witnessKey, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is no key", text)
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != cosignature {
		return nil, fmt.Errorf("%q is no key of a witness", text)
	}
	made := &witnessKey{parts[0], keyHash(parts[0], raw), raw[1:]}
	if fmt.Sprintf("%08x", made.hash) != parts[1] {
		return nil, fmt.Errorf("the key of %s is not its hash's", made.name)
	}
	return made, nil
}

func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

func (w *witnessKey) Name() string    { return w.name }
func (w *witnessKey) KeyHash() uint32 { return w.hash }

func (w *witnessKey) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(w.key, cosigned(binary.BigEndian.Uint64(signature), text), signature[8:])
}

func cosigned(time uint64, text []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...)
}

func checkCosigned(arguments []string) error {
	verifier, err := note.NewVerifier(arguments[1])
	if err != nil {
		return err
	}
	witness, err := newWitnessKey(arguments[2])
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	found, err := openCheckpoint(raw, verifier, witness)
	if err != nil {
		return err
	}
	fmt.Println(found.tree.N)
	return nil
}

func newKey(arguments []string) error {
	signer, verifier, err := note.GenerateKey(rand.Reader, arguments[0])
	if err != nil {
		return err
	}
	fmt.Println(signer)
	fmt.Println(verifier)
	return nil
}
