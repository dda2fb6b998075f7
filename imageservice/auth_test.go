package imageservice

import (
	"encoding/base64"
	"strings"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCredentialsOfARequest(t *testing.T) {
	t.Parallel()
	encoded := base64.StdEncoding.EncodeToString([]byte("anna:pass:word"))
	for name, tt := range map[string]struct {
		auth                 *runtime.AuthConfig
		user, secret, bearer string
	}{
		"none":                 {nil, "", "", ""},
		"user":                 {&runtime.AuthConfig{Username: "anna", Password: "word"}, "anna", "word", ""},
		"identity token":       {&runtime.AuthConfig{IdentityToken: "id"}, "", "id", ""},
		"auth":                 {&runtime.AuthConfig{Auth: encoded}, "anna", "pass:word", ""},
		"auth without padding": {&runtime.AuthConfig{Auth: strings.TrimRight(encoded, "=")}, "anna", "pass:word", ""},
		"registry token":       {&runtime.AuthConfig{RegistryToken: "tok"}, "", "", "Bearer tok"},
		"user before token":    {&runtime.AuthConfig{Username: "anna", Password: "word", RegistryToken: "tok"}, "anna", "word", ""},
		"this server":          {&runtime.AuthConfig{Username: "anna", Password: "word", ServerAddress: "registry.test:5000"}, "anna", "word", ""},
		"its URL":              {&runtime.AuthConfig{Username: "anna", Password: "word", ServerAddress: "https://Registry.test:5000/v2/"}, "anna", "word", ""},
		"another server":       {&runtime.AuthConfig{Username: "anna", Password: "word", ServerAddress: "https://other.test"}, "", "", ""},
		"another port":         {&runtime.AuthConfig{Username: "anna", Password: "word", ServerAddress: "registry.test"}, "", "", ""},
		"another's token":      {&runtime.AuthConfig{RegistryToken: "tok", ServerAddress: "other.test"}, "", "", ""},
	} {
		a := authOf(tt.auth)
		user, secret, err := a.credentials("registry.test:5000")
		if err != nil || user != tt.user || secret != tt.secret {
			t.Errorf("%s: %q %q %v", name, user, secret, err)
		}
		if got := a.bearer("registry.test:5000"); got != tt.bearer {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, bad := range []string{"%%%", base64.StdEncoding.EncodeToString([]byte("secret"))} {
		_, _, err := authOf(&runtime.AuthConfig{Auth: bad}).credentials("registry.test")
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if user, _, _ := authOf(&runtime.AuthConfig{Username: "anna", ServerAddress: "https://index.docker.io/v1/"}).credentials("registry-1.docker.io"); user != "anna" {
		t.Error("Docker Hub goes by one name only")
	}
	if user, _, _ := authOf(&runtime.AuthConfig{Username: "anna", ServerAddress: "https://registry.test"}).credentials("registry.test:443"); user != "anna" {
		t.Error("443 is another port than that of https")
	}
}
