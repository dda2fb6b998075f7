package pemfile

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// Foreign describes a file without a usable PEM block.
type Foreign struct {
	// What is the format: "is PKCS #12 (a .p12 or .pfx file)".
	What string
	// Convert is the command that converts it to PEM, with %s for the file's name,
	// empty if there is none.
	Convert string
	// Certificates reports whether it may hold certificates, which are lost if it is
	// skipped.
	Certificates bool
}

// For returns the error about a file, with the command to type. Only the command names
// the file.
func (f Foreign) For(path string) error {
	if f.Convert == "" {
		return errors.New(f.What)
	}
	command := named(f.Convert, path)
	return nextstep.Told(errors.New(f.What), "convert it with "+command, "convert it: "+command)
}

// named puts a file's name into a command, where it may be part of a word.
func named(command, path string) string {
	words := strings.Fields(command)
	for i, word := range words {
		prefix, suffix, is := strings.Cut(word, "%s")
		if is {
			words[i] = prefix + plainfile.Quote(path+suffix)
		}
	}
	return strings.Join(words, " ")
}

// replace is the end of commands that cannot overwrite the file they read.
const replace = " -out %s.new && mv %s.new %s"

// decode is the command for bare base64.
const decode = "base64 -d %s >%s.new && mv %s.new %s"

// magic lists the prefixes of formats that are not ASN.1.
var magic = []struct {
	prefix string
	Foreign
}{
	{"\xfe\xed\xfe\xed", Foreign{What: "is a Java keystore (JKS)", Convert: "keytool -importkeystore -srckeystore %s -destkeystore %s.p12 -deststoretype PKCS12 && openssl pkcs12 -nodes -in %s.p12" + replace}},
	{"\xce\xce\xce\xce", Foreign{What: "is a Java keystore (JCEKS)", Convert: "keytool -importkeystore -srcstoretype JCEKS -srckeystore %s -destkeystore %s.p12 -deststoretype PKCS12 && openssl pkcs12 -nodes -in %s.p12" + replace}},
	{"PuTTY-User-Key-File-", Foreign{What: "is a key of PuTTY (.ppk)", Convert: "puttygen %s -O private-openssh -o %s.new && mv %s.new %s && ssh-keygen -p -m PKCS8 -f %s"}},
	{"SSH PRIVATE KEY FILE FORMAT", Foreign{What: "is a key of SSH version 1, which TLS cannot use"}},
	{"ssh-", Foreign{What: "is a public key of SSH, which TLS cannot use"}},
	{"ecdsa-sha2-", Foreign{What: "is a public key of SSH, which TLS cannot use"}},
	{"-----BEGIN PGP ", Foreign{What: "is of OpenPGP, which TLS cannot use"}},
	{"\x1f\x8b", Foreign{What: "is compressed by gzip", Convert: "gzip -dc <%s >%s.new && mv %s.new %s"}},
	{"PK\x03\x04", Foreign{What: "is a ZIP archive: put the files in it there"}},
	{"LS0tLS", Foreign{What: "is base64 of a PEM file, as in a Kubernetes secret", Convert: decode}},
}

var markup = regexp.MustCompile(`(?i)^(<!doctype|<html|<\?xml)`)

// Recognise describes what a file without a usable block is instead.
func Recognise(data []byte) Foreign {
	text := bytes.TrimFunc(data, isBlank)
	if len(text) == 0 {
		return Foreign{What: "is empty"}
	}
	if name := plainfile.Encoding(data); name != "" {
		return Foreign{What: "is text in " + name + ", not in UTF-8", Convert: "iconv -f " + name + " -t UTF-8 %s >%s.new && mv %s.new %s"}
	}
	for _, m := range magic {
		// Try data, too: the first byte of a gzip file counts as a blank in text.
		if bytes.HasPrefix(text, []byte(m.prefix)) || bytes.HasPrefix(data, []byte(m.prefix)) {
			return m.Foreign
		}
	}
	if f, is := recogniseDER(data); is {
		return f
	}
	if markup.Match(text) {
		return Foreign{What: "is an HTML or XML page: what was saved there came from a login or error page"}
	}
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		if bytes.Contains(text, []byte(`\n`)) && bytes.Count(text, []byte("\n")) < 3 {
			return Foreign{What: "has the two characters \\n where its line breaks should be", Convert: `sed 's/\\n/\n/g' %s >%s.new && mv %s.new %s`}
		}
		return Foreign{What: "has no usable PEM block"}
	}
	if der, is := bareBase64(text); is {
		if f, is := recogniseDER(der); is {
			return Foreign{What: f.What + ", in base64 without its BEGIN and END lines", Convert: decode}
		}
	}
	return Foreign{What: "is not PEM"}
}

// bareBase64 decodes text that is bare base64.
func bareBase64(text []byte) ([]byte, bool) {
	if !bytes.HasPrefix(text, []byte("MI")) {
		return nil, false
	}
	der, err := base64.StdEncoding.DecodeString(strings.Map(withoutBlanks, string(text)))
	return der, err == nil
}

// Object identifiers of signed, encrypted or otherwise wrapped formats.
var (
	pkcs7 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7}
	pkcs5 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5}
	pkcs9 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12}
)

// recogniseDER distinguishes the DER formats by the content of their outer sequence.
func recogniseDER(data []byte) (Foreign, bool) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(data, &outer)
	if err != nil || outer.Tag != asn1.TagSequence || !outer.IsCompound {
		return torn(data, err)
	}
	_ = rest
	var first, second asn1.RawValue
	if rest, err = asn1.Unmarshal(outer.Bytes, &first); err != nil {
		return Foreign{}, false
	}
	if _, err := asn1.Unmarshal(rest, &second); err != nil {
		second = asn1.RawValue{}
	}
	switch {
	case first.Tag == asn1.TagOID && hasOID(outer.Bytes, pkcs7):
		return Foreign{What: "is PKCS #7 in DER (a .p7b file)", Convert: "openssl pkcs7 -inform der -print_certs -in %s" + replace}, true
	case first.Tag == asn1.TagInteger && len(first.Bytes) == 1 && first.Bytes[0] == 3 && hasOID(second.Bytes, pkcs7):
		return Foreign{What: "is PKCS #12 (a .p12 or .pfx file)", Convert: "openssl pkcs12 -nodes -in %s" + replace}, true
	case first.Tag == asn1.TagInteger:
		return Foreign{What: "is not PEM but looks like a private key in DER", Convert: "openssl pkey -inform der -in %s" + replace}, true
	case first.Tag == asn1.TagSequence && (hasOID(first.Bytes, pkcs5) || hasOID(first.Bytes, pkcs9)):
		return Foreign{What: "is not PEM but looks like an encrypted private key in DER", Convert: "openssl pkey -inform der -in %s" + replace}, true
	case first.Tag == asn1.TagSequence && isRequest(first.Bytes):
		return request, true
	}
	return Foreign{What: "is not PEM but looks like DER", Convert: "openssl x509 -inform der -in %s" + replace}, true
}

var request = Foreign{What: "is a request for a certificate (CSR): put the certificate that the CA issued for it there"}

// torn recognises truncated DER.
func torn(data []byte, err error) (Foreign, bool) {
	var syntax asn1.SyntaxError
	if errors.As(err, &syntax) && len(data) > 2 && data[0] == 0x30 && data[1] > 0x80 && data[1] < 0x85 {
		return Foreign{What: fmt.Sprintf("is not PEM but looks like DER that is cut (%s)", syntax.Msg)}, true
	}
	return Foreign{}, false
}

// hasOID reports whether DER begins with an object identifier below a prefix.
func hasOID(der []byte, prefix asn1.ObjectIdentifier) bool {
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(der, &oid); err != nil || len(oid) < len(prefix) {
		return false
	}
	return oid[:len(prefix)].Equal(prefix)
}

// isRequest reports whether a sequence begins like a PKCS #10 request: with a plain
// version zero, which a certificate has in an explicit tag.
func isRequest(der []byte) bool {
	var version int
	rest, err := asn1.Unmarshal(der, &version)
	if err != nil || version != 0 {
		return false
	}
	var name asn1.RawValue
	_, err = asn1.Unmarshal(rest, &name)
	return err == nil && name.Tag == asn1.TagSequence
}

// labels describes PEM blocks that are neither a certificate nor a usable key, by
// label.
var labels = map[string]Foreign{
	"PKCS7":                   {What: "is PKCS #7 in PEM (a .p7b file)", Convert: "openssl pkcs7 -print_certs -in %s" + replace, Certificates: true},
	"PKCS #7 SIGNED DATA":     {What: "is PKCS #7 in PEM (a .p7b file)", Convert: "openssl pkcs7 -print_certs -in %s" + replace, Certificates: true},
	"CMS":                     {What: "is CMS in PEM", Convert: "openssl cms -cmsout -print -noout -in %s", Certificates: true},
	"CERTIFICATE REQUEST":     request,
	"NEW CERTIFICATE REQUEST": request,
	"X509 CRL":                {What: "has no certificate, only a list of revoked ones (CRL)"},
	"PUBLIC KEY":              {What: "has a public key only"},
	"RSA PUBLIC KEY":          {What: "has a public key only"},
	"ATTRIBUTE CERTIFICATE":   {What: "has an attribute certificate only, which TLS cannot use"},
	"OPENSSH PRIVATE KEY":     {What: "is a key in OpenSSH's format", Convert: "ssh-keygen -p -m PKCS8 -f %s"},
	"EC PARAMETERS":           {What: "has the parameters of a key only, not the key"},
	"DH PARAMETERS":           {What: "has Diffie-Hellman parameters only"},
}

// Label describes a block with a label that is neither a certificate nor a usable key.
func Label(label string) (Foreign, bool) {
	f, found := labels[label]
	return f, found
}
