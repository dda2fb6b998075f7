package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v3"
	"sigs.k8s.io/yaml"
)

const packaging = "../../packaging"

// understood fails the test unless certsd takes a command line, and returns what
// it makes of it. Nothing is run.
func understood(t *testing.T, where string, args []string) *cli.Command {
	t.Helper()
	root := command(io.Discard, io.Discard)
	var got *cli.Command
	for _, c := range root.Commands {
		c.Action = func(_ context.Context, c *cli.Command) error {
			got = c
			return nil
		}
	}
	if err := root.Run(t.Context(), append([]string{"certsd"}, args...)); err != nil || got == nil {
		t.Fatalf("%s: certsd does not take %q: %v", where, args, err)
	}
	if got.Args().Len() > 0 && !got.Bool("print-hosts") {
		t.Errorf("%s: %q are no flags of certsd", where, got.Args())
	}
	return got
}

func packaged(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(packaging, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	service, socket := packaged(t, "systemd/certsd-gateway.service"), packaged(t, "systemd/certsd-gateway.socket")
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/certsd (.*)$`).FindStringSubmatch(service)
	if start == nil {
		t.Fatal("the service does not start certsd")
	}
	as := understood(t, "ExecStart", strings.Fields(start[1]))
	if state, want := as.String("state"), "%S/"+value(service, "StateDirectory"); state != want {
		t.Errorf("the gateway keeps its state in %s, systemd makes %s", state, want)
	}
	if listen, want := as.StringSlice("listen"), []string{value(socket, "ListenStream")}; !slices.Equal(listen, want) {
		t.Errorf("clients are told %v, systemd listens at %v", listen, want)
	}

	analyze := tool(t, "systemd-analyze")
	// verify wants the program to be there.
	units := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"certsd-gateway.service": strings.Replace(service, "/usr/local/bin/certsd", program, 1),
		"certsd-gateway.socket":  socket,
	} {
		if err := os.WriteFile(filepath.Join(units, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"verify", "--man=no", filepath.Join(units, "certsd-gateway.service"), filepath.Join(units, "certsd-gateway.socket")},
		// 2.0 of 10 is as far as a server goes that reads keys of others.
		{"security", "--offline=true", "--threshold=20", filepath.Join(units, "certsd-gateway.service")},
	} {
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

// value is what a unit sets a key to.
func value(unit, key string) string {
	m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(unit)
	if m == nil {
		return "no " + key
	}
	return m[1]
}

// TestDockerfile builds nothing: that is for a scenario.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	dockerfile := packaged(t, "docker/Dockerfile")
	var args []string
	for _, word := range []string{"ENTRYPOINT", "CMD"} {
		m := regexp.MustCompile(`(?m)^` + word + ` (\[.*\])$`).FindStringSubmatch(dockerfile)
		if m == nil {
			t.Fatalf("no %s", word)
		}
		var list []string
		if err := json.Unmarshal([]byte(m[1]), &list); err != nil {
			t.Fatal(err)
		}
		args = append(args, list...)
	}
	understood(t, "Dockerfile", args[1:])
	copied := regexp.MustCompile(`(?m)^COPY (\S+) (\S+)$`).FindAllStringSubmatch(dockerfile, -1)
	if len(copied) != 1 || copied[0][2] != args[0] {
		t.Errorf("the image has %v and starts %s", copied, args[0])
	}
	if want := "*\n!" + copied[0][1] + "\n"; packaged(t, "docker/Dockerfile.dockerignore") != want {
		t.Errorf("Dockerfile.dockerignore is not %q", want)
	}
	if out, err := made(t, t.TempDir(), nil, "-n", copied[0][1]); err != nil || !strings.Contains(out, "CGO_ENABLED=0 ") {
		t.Errorf("make does not build %s as a static program: %v\n%s", copied[0][1], err, out)
	}
}

// The parts of Kubernetes objects that are used. A key that is not here is an
// error, so that a misspelt one is found.
type (
	object struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string            `json:"name"`
			Namespace string            `json:"namespace"`
			Labels    map[string]string `json:"labels"`
		} `json:"metadata"`
		Spec json.RawMessage `json:"spec"`
	}
	daemonSet struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		UpdateStrategy struct {
			RollingUpdate struct {
				MaxUnavailable any `json:"maxUnavailable"`
				MaxSurge       int `json:"maxSurge"`
			} `json:"rollingUpdate"`
		} `json:"updateStrategy"`
		Template struct {
			Metadata struct {
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
			Spec pod `json:"spec"`
		} `json:"template"`
	}
	pod struct {
		HostNetwork                   bool                `json:"hostNetwork"`
		DNSPolicy                     string              `json:"dnsPolicy"`
		AutomountServiceAccountToken  *bool               `json:"automountServiceAccountToken"`
		EnableServiceLinks            *bool               `json:"enableServiceLinks"`
		PriorityClassName             string              `json:"priorityClassName"`
		TerminationGracePeriodSeconds int                 `json:"terminationGracePeriodSeconds"`
		Tolerations                   []map[string]string `json:"tolerations"`
		SecurityContext               struct {
			SeccompProfile map[string]string `json:"seccompProfile"`
		} `json:"securityContext"`
		InitContainers []container `json:"initContainers"`
		Containers     []container `json:"containers"`
		Volumes        []volume    `json:"volumes"`
	}
	container struct {
		Name            string   `json:"name"`
		Image           string   `json:"image"`
		ImagePullPolicy string   `json:"imagePullPolicy"`
		Args            []string `json:"args"`
		SecurityContext struct {
			RunAsUser                int                 `json:"runAsUser"`
			RunAsGroup               int                 `json:"runAsGroup"`
			AllowPrivilegeEscalation *bool               `json:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool                `json:"readOnlyRootFilesystem"`
			Capabilities             map[string][]string `json:"capabilities"`
		} `json:"securityContext"`
		Ports          []port `json:"ports"`
		LivenessProbe  probe  `json:"livenessProbe"`
		ReadinessProbe probe  `json:"readinessProbe"`
		Resources      struct {
			Requests, Limits map[string]string
		} `json:"resources"`
		VolumeMounts []mount `json:"volumeMounts"`
	}
	port struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		HostPort      int    `json:"hostPort"`
		HostIP        string `json:"hostIP"`
	}
	probe struct {
		HTTPGet struct {
			Host string `json:"host"`
			Port int    `json:"port"`
			Path string `json:"path"`
		} `json:"httpGet"`
		PeriodSeconds int `json:"periodSeconds"`
	}
	mount struct {
		Name      string `json:"name"`
		MountPath string `json:"mountPath"`
		SubPath   string `json:"subPath"`
		ReadOnly  bool   `json:"readOnly"`
	}
	volume struct {
		Name     string `json:"name"`
		HostPath struct {
			Path string `json:"path"`
			Type string `json:"type"`
		} `json:"hostPath"`
		Secret struct {
			SecretName  string `json:"secretName"`
			DefaultMode int    `json:"defaultMode"`
		} `json:"secret"`
	}
)

// TestKubernetesManifests reads what runs on nodes. All that the chart makes, a
// Deployment too, is tested with the chart.
func TestKubernetesManifests(t *testing.T) {
	t.Parallel()
	for file, kinds := range map[string][]string{
		"daemonset.yaml":      {"Namespace", "DaemonSet"},
		"static-pod.yaml":     {"Pod"},
		"cri-daemonset.yaml":  {"Namespace", "DaemonSet"},
		"cri-static-pod.yaml": {"Pod"},
	} {
		var got, secrets []string
		for _, m := range regexp.MustCompile(`(?m)^#.*create secret generic (\S+)`).FindAllStringSubmatch(packaged(t, "kubernetes/"+file), -1) {
			secrets = append(secrets, m[1])
		}
		for text := range strings.SplitSeq(packaged(t, "kubernetes/"+file), "\n---\n") {
			var o object
			if err := yaml.UnmarshalStrict([]byte(text), &o); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			got = append(got, o.Kind)
			switch o.Kind {
			case "DaemonSet":
				var d daemonSet
				strict(t, file, o.Spec, &d)
				if diff := cmp.Diff(d.Selector.MatchLabels, d.Template.Metadata.Labels); diff != "" {
					t.Errorf("%s: the selector does not find its pods:\n%s", file, diff)
				}
				d.Template.Spec.check(t, file, secrets)
			case "Pod":
				var p pod
				strict(t, file, o.Spec, &p)
				p.check(t, file, secrets)
			}
		}
		if diff := cmp.Diff(kinds, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func strict(t *testing.T, file string, text json.RawMessage, target any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(target); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// check holds a pod to what the gateway needs and to what it must not have.
func (p *pod) check(t *testing.T, file string, secrets []string) {
	t.Helper()
	volumes := map[string]volume{}
	for _, v := range p.Volumes {
		volumes[v.Name] = v
		if v.Secret.SecretName != "" && !slices.Contains(secrets, v.Secret.SecretName) {
			t.Errorf("%s: there is no secret %s", file, v.Secret.SecretName)
		}
		if v.Secret.SecretName != "" && v.Secret.DefaultMode != 0o400 {
			t.Errorf("%s: the gateway refuses a secret of mode %o", file, v.Secret.DefaultMode)
		}
	}
	if !p.HostNetwork {
		t.Errorf("%s: the loopback interface is not that of the node", file)
	}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		where := file + ", " + c.Name
		as := understood(t, where, c.Args)
		mounted := map[string]mount{}
		for _, m := range c.VolumeMounts {
			if _, ok := volumes[m.Name]; !ok {
				t.Errorf("%s: there is no volume %s", where, m.Name)
			}
			mounted[m.MountPath] = m
		}
		if c.Args[0] == "cri" {
			c.checkCRI(t, where, as, mounted, volumes)
		} else if root := as.String("root"); !mounted[root].ReadOnly {
			t.Errorf("%s: %s is not mounted read-only", where, root)
		}
		s := c.SecurityContext
		if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem ||
			!slices.Equal(s.Capabilities["drop"], []string{"ALL"}) || len(s.Capabilities) != 1 {
			t.Errorf("%s: it has more rights than it needs: %+v", where, s)
		}
		if as.Bool("print-hosts") || c.Args[0] == "cri" {
			continue
		}
		if _, ok := mounted[as.String("state")]; !ok {
			t.Errorf("%s: its state is lost with the container", where)
		}
		for path, probe := range map[string]probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
			if get := probe.HTTPGet; get.Path != path || get.Host != "127.0.0.1" || get.Port != 5999 || probe.PeriodSeconds == 0 {
				t.Errorf("%s: probe %+v, want %s", where, probe, path)
			}
		}
		if listen := as.StringSlice("listen"); !slices.Equal(listen, []string{"127.0.0.1:5999"}) {
			t.Errorf("%s: it listens at %v", where, listen)
		}
	}
}
