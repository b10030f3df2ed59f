// Logs, proofs and witnesses, held against the Go project's own libraries for them (golang.org/x/mod/sumdb).
package main

import (
	"fmt"
	"os"
)

// What can be asked, and how many arguments it takes.
var commands = map[string]struct {
	takes int
	run   func(arguments []string) error
}{
	"log":      {2, checkLog},      // FOLDER KEY: every entry, and every size the log had before
	"since":    {3, checkSince},    // FOLDER KEY OLDER: a checkpoint that was kept elsewhere
	"proof":    {3, checkProof},    // FILE KEY ENTRY: a proof that stands alone
	"cosigned": {3, checkCosigned}, // CHECKPOINT KEY WITNESS: what a witness says of it
	"key":      {1, newKey},        // NAME: a key pair to sign with
	"ask":      {3, askWitness},    // URL SIGNER WITNESS: a log of this program's own, shown to a witness as it grows
	"witness":  {2, serveWitness},  // SIGNER KEY: a witness of that log
}

func main() {
	command, known := commands[append(os.Args, "")[1]]
	if !known || len(os.Args) != command.takes+2 {
		fmt.Fprintln(os.Stderr, "see main.go for what can be asked")
		os.Exit(2)
	}
	if err := command.run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
