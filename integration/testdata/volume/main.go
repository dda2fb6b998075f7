// Command volume makes the volume of a recipe as the kubelet does, with the kubelet's
// own writer: volume RECIPE OBJECTS DIR
//
// RECIPE is YAML with the one volume. What it is made of is below OBJECTS:
// secret/NAME/KEY, configMap/NAME/KEY, and for a certificate of the pod's
// podCertificate/SIGNER.key and podCertificate/SIGNER.cert.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume/util"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "volume:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: volume RECIPE OBJECTS DIR")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	// A field that Kubernetes does not know is an error.
	var recipe v1.PodSpec
	if err := yaml.UnmarshalStrict(text, &recipe); err != nil {
		return err
	}
	if len(recipe.Volumes) != 1 {
		return fmt.Errorf("%d volumes, and not one", len(recipe.Volumes))
	}
	p := payload{objects: args[1], files: map[string]util.FileProjection{}}
	if err := p.volume(recipe.Volumes[0].VolumeSource); err != nil {
		return err
	}
	if err := os.MkdirAll(args[2], 0o755); err != nil {
		return err
	}
	w, err := util.NewAtomicWriter(args[2], "volume")
	if err != nil {
		return err
	}
	return w.Write(p.files, nil)
}

// payload is what is in the volume, mode what its files have that say nothing else.
type payload struct {
	objects string
	files   map[string]util.FileProjection
	mode    *int32
}

func (p *payload) volume(v v1.VolumeSource) error {
	switch {
	case v.Secret != nil:
		p.mode = v.Secret.DefaultMode
		return p.items("secret/"+v.Secret.SecretName, v.Secret.Items)
	case v.Projected != nil:
		p.mode = v.Projected.DefaultMode
		for _, source := range v.Projected.Sources {
			if err := p.source(source); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("neither a secret nor projected")
}

func (p *payload) source(s v1.VolumeProjection) error {
	switch {
	case s.Secret != nil:
		return p.items("secret/"+s.Secret.Name, s.Secret.Items)
	case s.ConfigMap != nil:
		return p.items("configMap/"+s.ConfigMap.Name, s.ConfigMap.Items)
	case s.PodCertificate != nil:
		return p.podCertificate(s.PodCertificate)
	}
	return errors.New("a source that is neither a secret nor a configMap nor a podCertificate")
}

func (p *payload) items(object string, items []v1.KeyToPath) error {
	if len(items) == 0 {
		return fmt.Errorf("%s: no items", object)
	}
	for _, item := range items {
		data, err := os.ReadFile(filepath.Join(p.objects, object, item.Key))
		if err != nil {
			return err
		}
		p.add(item.Path, data, item.Mode)
	}
	return nil
}

// podCertificate is the key first, and then the certificate with its chain.
func (p *payload) podCertificate(c *v1.PodCertificateProjection) error {
	base := filepath.Join(p.objects, "podCertificate", c.SignerName)
	key, err := os.ReadFile(base + ".key")
	if err != nil {
		return err
	}
	chain, err := os.ReadFile(base + ".cert")
	if err != nil {
		return err
	}
	p.add(c.CredentialBundlePath, append(append([]byte(nil), key...), chain...), nil)
	p.add(c.KeyPath, key, nil)
	p.add(c.CertificateChainPath, chain, nil)
	return nil
}

func (p *payload) add(path string, data []byte, mode *int32) {
	if path == "" {
		return
	}
	is := int32(0o644)
	for _, set := range []*int32{p.mode, mode} {
		if set != nil {
			is = *set
		}
	}
	p.files[path] = util.FileProjection{Data: data, Mode: is}
}
