package certsd

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// A 401 that no password can follow says so in what a pull tells, behind what is
// wrong with the client certificates.
func TestChallengesThatNobodyAnswersAreTold(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{"", "Negotiate", `Basic realm="x"`} {
		s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
			if challenge != "" {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			w.WriteHeader(http.StatusUnauthorized)
		}})
		dir := newCertsDir(t)
		path := dir.add(t, s.host, "alpha")
		dir.write(t, s.host+"/beta.cert", string(pairOf("beta").CertPEM))
		ctx, trail := WithTrail(t.Context())
		if _, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, http.MethodGet, s.URL+"/v2/app/manifests/1", "")); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"":          "server HOST answers 401 without a challenge (WWW-Authenticate): it does not say how to authenticate",
			"Negotiate": `server HOST answers 401 with a challenge that clients of registries do not answer: "Negotiate": ask the registry's owner`,
		}[challenge]
		first := "-> " + path + "/beta.cert: put the private key beside it as beta.key\n  -> "
		text := trail.String()
		if told := strings.Contains(text, first+strings.ReplaceAll(want, "HOST", s.host)); told != (want != "") || want == "" && strings.Contains(text, "->") {
			t.Errorf("%q:\n%s", challenge, text)
		}
	}
}
