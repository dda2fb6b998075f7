//go:build linux

package integration

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// ca is the authority of that name, made on first use.
func (r *rig) ca(name string) *certtest.CA {
	if r.cas[name] == nil {
		r.cas[name] = certtest.NewCA(name)
	}
	return r.cas[name]
}

// caCmd writes the certificate of an authority: ca [-by CA] NAME FILE... makes
// it one that another has signed, ca -days N one that is valid for so long.
func (r *rig) caCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "ca [-by CA|-days N] NAME FILE..."
	noNeg(ts, neg, usage)
	if end := validity(ts, &args); len(args) > 0 && !end.IsZero() {
		r.cas[args[0]] = certtest.NewLongCA(args[0], end)
	}
	if len(args) > 2 && args[0] == "-by" {
		r.cas[args[2]] = r.ca(args[1]).Intermediate(args[2])
		args = args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: %s", usage)
	}
	for _, file := range args[1:] {
		ts.Check(writeFile(ts.MkAbs(file), r.ca(args[0]).PEM, 0o644))
	}
}

// validity takes "-days N" off arguments, and is when what is valid for so long
// ends; zero where it is not said.
func validity(ts *testscript.TestScript, args *[]string) time.Time {
	if len(*args) < 2 || (*args)[0] != "-days" {
		return time.Time{}
	}
	days, err := strconv.Atoi((*args)[1])
	ts.Check(err)
	*args = (*args)[2:]
	return time.Now().AddDate(0, 0, days)
}

// pairCmd issues a certificate: pair [-expired|-future|-days N] [-for HOST] CA
// NAME FILE writes FILE.cert and FILE.key, for a client, or for the server HOST.
func (r *rig) pairCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "pair [-expired|-future|-days N] [-for HOST] CA NAME FILE"
	noNeg(ts, neg, usage)
	req := certtest.Request{NotAfter: validity(ts, &args)}
	if len(args) > 0 && (args[0] == "-expired" || args[0] == "-future") {
		begin := time.Now().Add(48 * time.Hour)
		if args[0] == "-expired" {
			begin = time.Now().Add(-48 * time.Hour)
		}
		req.NotBefore, req.NotAfter, args = begin, begin.Add(24*time.Hour), args[1:]
	}
	if len(args) > 1 && args[0] == "-for" {
		req.Names, args = []string{args[1]}, args[2:]
	}
	if len(args) != 3 {
		ts.Fatalf("usage: %s", usage)
	}
	req.CommonName = args[1]
	dir, name := filepath.Split(ts.MkAbs(args[2]))
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(r.ca(args[0]).Issue(req).Write(dir, name))
}

// certifyCmd issues a certificate for a key that is elsewhere: certify CA NAME
// PUBLIC FILE, of which PUBLIC is the public key, in PEM or DER.
func (r *rig) certifyCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "certify CA NAME PUBLIC FILE"
	noNeg(ts, neg, usage)
	if len(args) != 4 {
		ts.Fatalf("usage: %s", usage)
	}
	der := []byte(ts.ReadFile(args[2]))
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	public, err := x509.ParsePKIXPublicKey(der)
	ts.Check(err)
	ts.Check(writeFile(ts.MkAbs(args[3]), r.ca(args[0]).Certify(args[1], public), 0o644))
}

// serverPair writes a server certificate for host, of the authority
// "servers", and returns its two files.
func (r *rig) serverPair(host string) (cert, key string, err error) {
	base := filepath.Join(r.work, "server-"+host)
	pair := r.ca("servers").Server(host)
	if err := writeFile(base+".pem", pair.CertPEM, 0o644); err != nil {
		return "", "", err
	}
	return base + ".pem", base + "-key.pem", writeFile(base+"-key.pem", pair.KeyPEM, 0o600)
}

// clientCA writes the authority that servers trust clients of.
func (r *rig) clientCA() (string, error) {
	file := filepath.Join(r.work, "clients.pem")
	return file, writeFile(file, r.ca("clients").PEM, 0o644)
}

// writeFile writes a file and the directories above it.
func writeFile(file string, b []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, mode)
}
