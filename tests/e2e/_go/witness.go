package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const sizes = 600

// A log in memory, signed with the library's signer.
type ownLog struct {
	hashes []tlog.Hash
	signer note.Signer
}

func (l *ownLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	read := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		read[at] = l.hashes[index]
	}
	return read, nil
}

func (l *ownLog) add(index int64) error {
	made, err := tlog.StoredHashes(index, []byte(fmt.Sprintf("entry %d", index)), l)
	l.hashes = append(l.hashes, made...)
	return err
}

func (l *ownLog) signed(size int64) ([]byte, error) {
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		return nil, err
	}
	text := formatCheckpoint(l.signer.Name(), tlog.Tree{N: size, Hash: root})
	return note.Sign(&note.Note{Text: text}, l.signer)
}

// The body of a request (C2SP tlog-witness): the size that the witness has, a proof from there, the checkpoint.
func (l *ownLog) request(old, size int64) (string, error) {
	signed, err := l.signed(size)
	if err != nil {
		return "", err
	}
	var proof tlog.TreeProof
	if old > 0 {
		if proof, err = tlog.ProveTree(size, old, l); err != nil {
			return "", err
		}
	}
	body := fmt.Sprintf("old %d\n", old)
	for _, hash := range proof {
		body += hash.String() + "\n"
	}
	return body + "\n" + string(signed), nil
}

func askWitness(arguments []string) error {
	signer, err := note.NewSigner(arguments[1])
	if err != nil {
		return err
	}
	witness, err := newWitnessKey(arguments[2])
	if err != nil {
		return err
	}
	log := &ownLog{signer: signer}
	for index := int64(0); index < sizes; index++ {
		if err := log.add(index); err != nil {
			return err
		}
	}
	old := int64(0)
	for _, size := range []int64{1, 2, 3, 7, 8, 255, 256, 257, 400, 512, 513, sizes} {
		body, err := log.request(old, size)
		if err != nil {
			return err
		}
		status, text, err := post(arguments[0], body)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("size %d: %d %s %v", size, status, text, err)
		}
		signed, err := log.signed(size)
		if err != nil {
			return err
		}
		if _, err := note.Open(append(signed, text...), note.VerifierList(witness)); err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		old = size
	}
	stale, err := log.request(7, sizes)
	if err != nil {
		return err
	}
	status, text, err := post(arguments[0], stale)
	if err != nil || status != http.StatusConflict || string(text) != fmt.Sprintf("%d\n", sizes) {
		return fmt.Errorf("a request from another size: %d %q %v", status, text, err)
	}
	fmt.Println(old)
	return nil
}

func post(url, body string) (int, []byte, error) {
	answer, err := (&http.Client{Timeout: 20 * time.Second}).Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	return answer.StatusCode, text, err
}

// A witness of one log, as the specification says it and no better: what it saw last is in memory.
type goWitness struct {
	sync.Mutex
	seen   tlog.Tree
	log    note.Verifier
	name   string
	secret ed25519.PrivateKey
}

func serveWitness(arguments []string) error {
	log, err := note.NewVerifier(arguments[1])
	if err != nil {
		return err
	}
	// The library's form of a private key: PRIVATE+KEY+name+hash+base64 of an algorithm byte and the seed.
	parts := strings.SplitN(arguments[0], "+", 5)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(parts) != 5 || len(raw) != 1+ed25519.SeedSize {
		return errors.New("no signer")
	}
	serving := &goWitness{log: log, name: parts[2], secret: ed25519.NewKeyFromSeed(raw[1:])}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	public := serving.public()
	fmt.Printf("%s+%08x+%s\n", serving.name, keyHash(serving.name, public), base64.StdEncoding.EncodeToString(public))
	mux := http.NewServeMux()
	mux.HandleFunc("/add-checkpoint", serving.add)
	return http.Serve(listener, mux)
}

func (w *goWitness) public() []byte {
	return append([]byte{cosignature}, w.secret.Public().(ed25519.PublicKey)...)
}

func (w *goWitness) add(out http.ResponseWriter, in *http.Request) {
	w.Lock()
	defer w.Unlock()
	body, err := io.ReadAll(io.LimitReader(in.Body, 1<<20))
	head, signed, cut := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	old, bad := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	if err != nil || !cut || bad != nil {
		http.Error(out, "not a request", http.StatusBadRequest)
		return
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		proof = append(proof, hash)
	}
	found, err := openCheckpoint([]byte(signed), w.log)
	if err != nil {
		http.Error(out, err.Error(), http.StatusForbidden)
		return
	}
	if old != w.seen.N || found.tree.N < old {
		out.Header().Set("Content-Type", "text/x.tlog.size")
		out.WriteHeader(http.StatusConflict)
		fmt.Fprintf(out, "%d\n", w.seen.N)
		return
	}
	if old > 0 {
		err = tlog.CheckTree(proof, found.tree.N, found.tree.Hash, w.seen.N, w.seen.Hash)
	} else if len(proof) > 0 {
		err = errors.New("a proof from nothing")
	}
	if err != nil {
		http.Error(out, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.seen = found.tree
	now := uint64(time.Now().Unix())
	said := binary.BigEndian.AppendUint32(nil, keyHash(w.name, w.public()))
	said = binary.BigEndian.AppendUint64(said, now)
	said = append(said, ed25519.Sign(w.secret, cosigned(now, []byte(found.note.Text)))...)
	fmt.Fprintf(out, "\u2014 %s %s\n", w.name, base64.StdEncoding.EncodeToString(said))
}
