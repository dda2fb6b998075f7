package resolver

import "testing"

func FuzzReferrersIn(f *testing.F) {
	for _, body := range []string{
		`{"schemaVersion":2,"manifests":[]}`, `{"manifests":[{"digest":"sha256:0","size":-1}]}`, `{"mediaType":"application/vnd.oci.image.index.v1+json"}`,
		`{}`, `null`, `[]`, `{"errors":[]}`, `<html>`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := referrersIn(body)
		for _, d := range list {
			if err != nil || d.Digest.Validate() != nil || d.Size < 0 {
				t.Errorf("%q: %v with %v", body, err, d)
			}
		}
	})
}
