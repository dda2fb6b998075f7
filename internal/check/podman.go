package check

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// maxSaid bounds how many names a finding lists.
const maxSaid = 8

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// podmanJudge compares the check with Podman's directories.
type podmanJudge struct{ dossier }

// asPodman finds Podman's directories for the registry or its endpoints that hold
// certificates which no searched directory has.
func (j podmanJudge) asPodman() {
	hosts := []string{j.inspection.Name}
	if j.inspection.Host != nil {
		for _, e := range j.inspection.Host.Endpoints {
			if !slices.Contains(hosts, e.Host) {
				hosts = append(hosts, e.Host)
			}
		}
	}
	for _, root := range j.podmans() {
		for _, host := range hosts {
			for _, name := range hostname.Directories(host) {
				if dir := filepath.Join(root, name); isDir(dir) {
					j.podmanHas(root, dir)
				}
			}
		}
	}
}

func (j podmanJudge) podmanHas(root, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var only []string
	for _, entry := range entries {
		ext := filepath.Ext(entry.Name())
		if (ext == ".crt" || ext == ".cert") && len(only) < maxSaid && !j.searchedHas(filepath.Join(dir, entry.Name())) {
			only = append(only, entry.Name())
		}
	}
	if len(only) == 0 {
		return
	}
	j.find(Finding{
		Code: PodmanDirectory, Where: dir,
		Message: "Podman, Skopeo and CRI-O read it for this registry; it is not searched here, and no directory that is searched has its " + strings.Join(only, ", "),
		Next:    nextForPodman(j.roots(), root),
	})
}

// nextForPodman returns what to do about a root of Podman's that is not searched.
func nextForPodman(searched certsd.Roots, root string) string {
	list := append(slices.Clone(searched), root).String()
	return fmt.Sprintf("certsd migrate shows how to write it in %s; or search it, too: --root %s, config_path = %q",
		cmp.Or(firstOf(searched), "a certs.d directory"), shellWord(list), list)
}

// searchedHas reports whether a directory in use has a file with the same content.
func (j podmanJudge) searchedHas(path string) bool {
	want, err := plainfile.Read(path)
	if err != nil {
		return false
	}
	for _, candidate := range j.inspection.Candidates {
		if candidate.State != hostdir.Used {
			continue
		}
		for _, name := range candidate.Files {
			if filepath.Ext(name) != filepath.Ext(path) {
				continue
			}
			if data, err := plainfile.Read(filepath.Join(candidate.Path, name)); err == nil && bytes.Equal(bytes.TrimSpace(data), bytes.TrimSpace(want)) {
				return true
			}
		}
	}
	return false
}

// podmanAlone finds registries that only Podman has a directory for: a check of all
// registries leaves them out.
func (j rootsJudge) podmanAlone(names []string) []Finding {
	var findings []Finding
	for _, root := range j.podmans() {
		entries, err := os.ReadDir(root)
		if err != nil {
			continue
		}
		var alone []string
		for _, entry := range entries {
			name, err := hostname.OfDirectory(entry.Name())
			if err == nil && !slices.Contains(names, name) && isDir(filepath.Join(root, entry.Name())) {
				alone = append(alone, name)
			}
		}
		if len(alone) == 0 {
			continue
		}
		slices.Sort(alone)
		said := strings.Join(alone[:min(len(alone), maxSaid)], ", ")
		if more := len(alone) - maxSaid; more > 0 {
			said += fmt.Sprintf(" and %d more", more)
		}
		findings = append(findings, Finding{
			Code: PodmanDirectory, Where: root,
			Message: "Podman, Skopeo and CRI-O read it; it is not searched here, and has directories for registries that have none elsewhere: " + said,
			Next:    nextForPodman(j.roots(), root),
		})
	}
	return findings
}
