package helm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// objects are the documents of what Helm renders.
func objects(text string) []string {
	var all []string
	for object := range strings.SplitSeq("\n"+text, "\n---\n") {
		if strings.Contains(object, "\nkind: ") {
			all = append(all, object)
		}
	}
	return all
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// typed is an empty object of a kind that the chart may make.
func typed(t *testing.T, version, kind string) any {
	t.Helper()
	switch version + " " + kind {
	case "v1 ConfigMap":
		return new(core.ConfigMap)
	case "v1 Namespace":
		return new(core.Namespace)
	case "v1 Secret":
		return new(core.Secret)
	case "v1 Service":
		return new(core.Service)
	case "apps/v1 DaemonSet":
		return new(apps.DaemonSet)
	case "apps/v1 Deployment":
		return new(apps.Deployment)
	case "networking.k8s.io/v1 NetworkPolicy":
		return new(networking.NetworkPolicy)
	case "policy/v1 PodDisruptionBudget":
		return new(policy.PodDisruptionBudget)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return new(monitoring.ServiceMonitor)
	case "monitoring.coreos.com/v1 PrometheusRule":
		return new(monitoring.PrometheusRule)
	}
	t.Fatalf("there is no kind %s %s", version, kind)
	return nil
}

// decoded is an object as the API server would take it: a field that it does not
// know, or one that is there twice, is an error.
func decoded(t *testing.T, name, text string) any {
	t.Helper()
	var head meta.TypeMeta
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		t.Fatalf("%s: %v in\n%s", name, err, text)
	}
	object := typed(t, head.APIVersion, head.Kind)
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%s: %s: %v in\n%s", name, head.Kind, err, text)
	}
	// As the API server does it: hostnetwork is not hostNetwork.
	strict, err := json.UnmarshalStrict(data, object)
	if err := errors.Join(append(strict, err)...); err != nil {
		t.Errorf("%s: %s: %v in\n%s", name, head.Kind, err, text)
	}
	return object
}

// pod is a template of pods and what it is for.
type pod struct {
	kind     string
	selector *meta.LabelSelector
	labels   map[string]string
	spec     core.PodSpec
}

func pods(t *testing.T, name, text string) []pod {
	t.Helper()
	var all []pod
	for _, object := range objects(text) {
		switch o := decoded(t, name, object).(type) {
		case *apps.DaemonSet:
			all = append(all, pod{"DaemonSet", o.Spec.Selector, o.Spec.Template.Labels, o.Spec.Template.Spec})
		case *apps.Deployment:
			all = append(all, pod{"Deployment", o.Spec.Selector, o.Spec.Template.Labels, o.Spec.Template.Spec})
		}
	}
	return all
}

// TestObjects decodes strictly all that is made, and holds pods to what they may.
func TestObjects(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{}
	for name, text := range renders(t) {
		for _, object := range objects(text) {
			var head meta.TypeMeta
			_ = yaml.Unmarshal([]byte(object), &head)
			kinds[head.Kind] = true
			decoded(t, name, object)
		}
		for _, p := range pods(t, name, text) {
			p.check(t, name)
		}
	}
	if len(kinds) < 9 {
		t.Errorf("only %v are made", kinds)
	}
}

// check holds a pod to the least rights, and its parts to each other.
func (p pod) check(t *testing.T, name string) {
	t.Helper()
	for key, value := range p.selector.MatchLabels {
		if p.labels[key] != value {
			t.Errorf("%s: the selector of the %s does not find its pods: %v, %v", name, p.kind, p.selector.MatchLabels, p.labels)
		}
	}
	s := p.spec
	if s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken || s.HostPID || s.HostIPC {
		t.Errorf("%s: the %s has more of the cluster or the node than it needs", name, p.kind)
	}
	if s.SecurityContext == nil || s.SecurityContext.SeccompProfile == nil || s.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the %s has not the runtime's seccomp profile", name, p.kind)
	}
	if p.kind == "Deployment" && s.HostNetwork {
		t.Errorf("%s: the Deployment has the node's network", name)
	}
	volumes := map[string]core.Volume{}
	for _, v := range s.Volumes {
		volumes[v.Name] = v
		if v.HostPath != nil && p.kind == "Deployment" {
			t.Errorf("%s: the Deployment has %s of the node", name, v.HostPath.Path)
		}
	}
	for _, c := range append(s.InitContainers, s.Containers...) {
		at := field.NewPath(name, p.kind, c.Name).String()
		confined(t, at, c.SecurityContext, p.kind == "Deployment")
		if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: no bounds of memory", at)
		}
		for _, m := range c.VolumeMounts {
			if _, ok := volumes[m.Name]; !ok {
				t.Errorf("%s: there is no volume %s", at, m.Name)
			}
			if strings.Contains(m.MountPath, ":") {
				t.Errorf("%s: Kubernetes takes no colon in %s", at, m.MountPath)
			}
		}
	}
}

func confined(t *testing.T, at string, s *core.SecurityContext, nobody bool) {
	t.Helper()
	switch {
	case s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation,
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem,
		s.Privileged != nil && *s.Privileged,
		s.Capabilities == nil || len(s.Capabilities.Add) > 0 || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL":
		t.Errorf("%s: it has more rights than it needs: %+v", at, s)
	case nobody && (s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0):
		t.Errorf("%s: it is root", at)
	}
}
