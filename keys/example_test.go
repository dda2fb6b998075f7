package keys_test

import (
	"log"
	"net/http"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/keys"
)

// A program whose client certificates have their keys in the machine's TPM, or in
// tokens that certsd-pkcs11 signs with.
func Example() {
	devices := keys.New([]string{"certsd-pkcs11"})
	defer devices.Close() // ends the helper
	client := &http.Client{Transport: &certsd.Transport{
		Registry: "registry.example:5000",
		Hosts:    &certsd.Hosts{Keys: devices.Open},
	}}
	response, err := client.Get("https://registry.example:5000/v2/") //nolint:noctx // an example
	if err != nil {
		log.Print(err)
		return
	}
	_ = response.Body.Close()
}
