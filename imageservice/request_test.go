package imageservice

import (
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pulls share a download if all is the same that could make a difference; whose
// pod it is for is none of that.
func TestWhichPullsShareADownload(t *testing.T) {
	t.Parallel()
	s := &server{options: options{All: true}}
	request := func(change func(*runtime.PullImageRequest)) flightKey {
		t.Helper()
		m := &runtime.PullImageRequest{
			Image: &runtime.ImageSpec{Image: "registry.example/app:1", RuntimeHandler: "runc"},
			Auth: &runtime.AuthConfig{
				Username: "anna", Password: "word", Auth: "YTpi", ServerAddress: "registry.example",
				IdentityToken: "identity", RegistryToken: "registry",
			},
		}
		change(m)
		r, err := s.ours(m)
		if err != nil || r == nil {
			t.Fatalf("%v, %v", r, err)
		}
		return r.key()
	}
	first := request(func(*runtime.PullImageRequest) {})
	for what, change := range map[string]func(*runtime.PullImageRequest){
		"nothing":              func(*runtime.PullImageRequest) {},
		"the pod":              func(m *runtime.PullImageRequest) { m.SandboxConfig = &runtime.PodSandboxConfig{Hostname: "other"} },
		"another spelling":     func(m *runtime.PullImageRequest) { m.Image.UserSpecifiedImage = "other" },
		"what metadata it has": func(m *runtime.PullImageRequest) { m.Image.Annotations = map[string]string{"a": "b"} },
		"labels of its sandbox": func(m *runtime.PullImageRequest) {
			m.SandboxConfig = &runtime.PodSandboxConfig{Labels: map[string]string{"a": "b"}}
		},
	} {
		if request(change) != first {
			t.Errorf("two pulls do not share a download for %s", what)
		}
	}
	for what, change := range map[string]func(*runtime.PullImageRequest){
		"image":              func(m *runtime.PullImageRequest) { m.Image.Image = "registry.example/app:2" },
		"runtime handler":    func(m *runtime.PullImageRequest) { m.Image.RuntimeHandler = "kata" },
		"no credentials":     func(m *runtime.PullImageRequest) { m.Auth = nil },
		"user":               func(m *runtime.PullImageRequest) { m.Auth.Username = "bert" },
		"password":           func(m *runtime.PullImageRequest) { m.Auth.Password = "words" },
		"auth":               func(m *runtime.PullImageRequest) { m.Auth.Auth = "YTpj" },
		"server of the auth": func(m *runtime.PullImageRequest) { m.Auth.ServerAddress = "other.example" },
		"identity token":     func(m *runtime.PullImageRequest) { m.Auth.IdentityToken = "other" },
		"registry token":     func(m *runtime.PullImageRequest) { m.Auth.RegistryToken = "other" },
	} {
		if request(change) == first {
			t.Errorf("pulls share a download with another %s", what)
		}
	}
}
