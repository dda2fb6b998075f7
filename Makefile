# Targets are explained by "make help". Everything is built into bin, tools of
# pinned versions into .cache/bin; nothing outside this directory changes but
# with "make install".

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
# Build tags for containerd, such as "no_btrfs no_zfs no_devmapper".
TAGS    ?=
# The release line of containerd to build: into bin/2.3 for 2.3, and the newest
# into bin where none is said.
CONTAINERD ?=

ACTIONLINT_VERSION  := v1.7.12
APIDIFF_VERSION     := v0.0.0-20261113113407-e3970619a1a4
GOFUMPT_VERSION     := v0.12.0
STATICCHECK_VERSION := v0.8.2
GOLANGCI_VERSION    := v2.15.0

# What packages are made with. nfpm of a later version needs modules for formats
# that are not made here.
NFPM_VERSION        := v2.45.0
CYCLONEDX_VERSION   := v1.10.0
HELM_VERSION        := v4.3.1
PACKTOOLS_VERSION   := $(shell cat $(wildcard packaging/testdata/tools/*/*.go packaging/testdata/tools/go.*) </dev/null | sha256sum | cut -c1-12)

# What the scenarios run beside Debian's: clients of the gateway, and what
# Kubernetes is made of.
AXE_VERSION         := 4.14.1
AXE_SHA256          := e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
BROWSE_VERSION      := $(shell cat $(wildcard integration/testdata/browse/*.go integration/testdata/browse/go.*) </dev/null | sha256sum | cut -c1-12)
SVID_VERSION        := $(shell cat $(wildcard integration/testdata/svid/*.go integration/testdata/svid/go.*) </dev/null | sha256sum | cut -c1-12)
# The kubelet's code, and what lets it write a volume.
VOLUME_VERSION       = $(KUBELET_VERSION)-$(shell cat $(wildcard integration/testdata/volume/main.go) </dev/null | sha256sum | cut -c1-12)
BUILDKIT_VERSION    := v0.34.2
CONFORMANCE_VERSION := v0.0.0-20260831232431-97274622c111
CONTAINERD1_VERSION := v1.7.35
CONTAINERD23_VERSION := v2.3.7
CRANE_VERSION       := v0.22.1
CRICTL_VERSION      := v1.37.0
# Later versions of imgcrypt have no decoder in the module.
IMGCRYPT_VERSION    := v1.1.8
KUBELET_VERSION     := v1.37.2
MOBY_VERSION        := v2.0.0-beta.24
ORAS_VERSION        := v1.3.6
REGCTL_VERSION      := v0.11.7

MODULE     := github.com/certsd/containerd-certsd
UPSTREAM   := github.com/containerd/containerd/v2
# Each line is a module with that release's own requirements.
LINES      := 2.2 2.3 2.4
NEWEST     := $(lastword $(LINES))
LINE       := $(or $(CONTAINERD),$(NEWEST))
ifneq ($(words $(CONTAINERD)) $(filter $(LINES),$(LINE)),$(words $(CONTAINERD)) $(LINE))
$(error CONTAINERD=$(CONTAINERD) is no release line; there are $(LINES))
endif
BIN        := bin$(addprefix /,$(CONTAINERD))
BINARIES   := $(addprefix $(BIN)/,containerd ctr containerd-shim-runc-v2 certsd certsd-pkcs11)
# The versions of Kubernetes that the chart is for, beside that of packaging/helm/go.mod.
KUBERNETES := 1.32 1.35
# The modules with code, the root first.
MODULES    := . cmd/certsd-pkcs11 $(addprefix cmd/containerd/,$(LINES)) packaging/helm packaging/testdata/tools integration/testdata/browse integration/testdata/svid
TOOLS      := $(CURDIR)/.cache/bin
ACTIONLINT := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)
APIDIFF    := $(TOOLS)/apidiff-$(APIDIFF_VERSION)
GOFUMPT    := $(TOOLS)/gofumpt-$(GOFUMPT_VERSION)
STATICCHECK := $(TOOLS)/staticcheck-$(STATICCHECK_VERSION)
GOLANGCI   := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
NFPM       := $(TOOLS)/nfpm-$(NFPM_VERSION)
CYCLONEDX  := $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)
HELM       := $(TOOLS)/helm-$(HELM_VERSION)
PACKTOOLS  := $(addprefix $(TOOLS)/pack-,$(addsuffix -$(PACKTOOLS_VERSION),apk valid))
CLIENTS    := axe-$(AXE_VERSION) browse-$(BROWSE_VERSION) buildctl-$(BUILDKIT_VERSION) buildkitd-$(BUILDKIT_VERSION) conformance-$(CONFORMANCE_VERSION) \
	containerd1-cri-$(CONTAINERD1_VERSION) containerd23-$(CONTAINERD23_VERSION) crane-$(CRANE_VERSION) \
	crictl-$(CRICTL_VERSION) ctddecoder-$(IMGCRYPT_VERSION) ctr1-$(CONTAINERD1_VERSION) ctr23-$(CONTAINERD23_VERSION) \
	dockerd-$(MOBY_VERSION) kubelet-$(KUBELET_VERSION) oras-$(ORAS_VERSION) regctl-$(REGCTL_VERSION) \
	shim1-$(CONTAINERD1_VERSION) shim23-$(CONTAINERD23_VERSION) svid-$(SVID_VERSION) volume-$(VOLUME_VERSION)

# A stock containerd 1.7 with its ctr and its shim.
CONTAINERD1 := $(TOOLS)/containerd1-cri-$(CONTAINERD1_VERSION) $(TOOLS)/ctr1-$(CONTAINERD1_VERSION) $(TOOLS)/shim1-$(CONTAINERD1_VERSION)

# Which source this is: nothing outside of git.
VERSION   ?= $(shell git describe --always --dirty 2>/dev/null)
# The version that the daemon reports is that of the containerd inside, the
# revision ours.
CONTAINERD_VERSION = $(shell $(GO) -C cmd/containerd/$(LINE) list -m -f '{{.Version}}' $(UPSTREAM))
LDFLAGS    = -X $(UPSTREAM)/version.Version=$(CONTAINERD_VERSION) \
	-X $(UPSTREAM)/version.Revision=certsd$(addprefix -,$(VERSION))
BUILDFLAGS = -buildvcs=false $(if $(TAGS),-tags "$(TAGS)")
# Everything is built as a part of the line's module.
BUILD      = $(GO) -C cmd/containerd/$(LINE) build $(BUILDFLAGS) -o $(CURDIR)/$@

# What runs on other systems than Linux too.
LIBRARIES := ./certsd/... ./v1compat/... ./resolver/...
UNITS      = $(shell $(GO) list ./... | grep -v -e '/integration$$' -e '/packaging$$')
# What the scenarios run besides our binaries is in .ci/packages: those of them
# that are not installed.
PACKAGES  := $(dir $(firstword $(MAKEFILE_LIST))).ci/packages
MISSING    = $(shell PATH="$$PATH:/usr/local/sbin:/usr/sbin:/sbin"; awk '/^[a-z]/ && NF > 1 { print $$1, $$2 }' $(PACKAGES) | \
	while read -r package program; do command -v "$$program" >/dev/null || echo "$$package"; done)
ROOT       = $(filter 0,$(shell id -u))
# Whether there is something to build clients for.
SCENARIOS  = $(if $(ROOT),$(if $(strip $(MISSING)),,yes))
# The race detector needs a C compiler.
RACE      := $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race)

.DEFAULT_GOAL := help
.PHONY: help build $(BINARIES) clients pictures screenshot test unit cross integration missing stock lines bump outdated upstream lint fmt apidiff bench demo man install clean

help: ## explain the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|' 2>/dev/null || \
	sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' $(firstword $(MAKEFILE_LIST))

build: $(BINARIES) ## build containerd with the plugin, ctr, the runc shim and certsd into bin; CONTAINERD=2.3: of that line, into bin/2.3

$(BIN)/containerd:
	$(BUILD) -ldflags '$(LDFLAGS)' .

# Static: it is copied to machines, and into the image of the demonstration.
$(BIN)/certsd:
	CGO_ENABLED=0 $(BUILD) -ldflags '-X main.version=$(VERSION)' $(MODULE)/cmd/certsd

$(BIN)/ctr:
	$(BUILD) -ldflags '$(LDFLAGS)' $(UPSTREAM)/cmd/ctr

# The shim outlives the daemon and is started for each container: static and
# without C, as containerd builds it.
$(BIN)/containerd-shim-runc-v2:
	CGO_ENABLED=0 $(BUILD) -ldflags '$(LDFLAGS)' $(UPSTREAM)/cmd/containerd-shim-runc-v2

# Libraries for tokens are of C: the only program that needs a compiler for it.
$(BIN)/certsd-pkcs11:
	CGO_ENABLED=1 $(GO) -C cmd/certsd-pkcs11 build -buildvcs=false -o $(CURDIR)/$@ .

test: missing unit cross integration lines chart check-packages ## run all tests; the scenarios need root and Debian's servers, and are skipped without

unit:
	@test -n "$(RACE)" || echo "no C compiler: testing without the race detector"
	$(GO) test $(RACE) $(UNITS)
	$(GO) -C cmd/certsd-pkcs11 test $(RACE) .

cross:
	@for os in windows darwin; do \
		echo "GOOS=$$os $(GO) build $(LIBRARIES)"; \
		GOOS=$$os $(GO) build $(LIBRARIES) || exit 1; \
	done

# Before the minutes that all else takes. In CI nothing is skipped.
missing:
	@missing='$(strip $(MISSING))'; if [ "$$(id -u)" != 0 ]; then echo "the scenarios are skipped: they need root"; \
	elif [ -n "$$missing" ]; then \
		echo "the scenarios are skipped until somebody runs: apt-get install -y --no-install-recommends $$missing"; \
		case "$$CI" in "" | false | 0) ;; *) exit 1 ;; esac; \
	fi

# Scenarios depend on binaries that Go's test cache does not know of. Where
# they are skipped, -v makes Go say why, and for whom they all are no clients
# are built.
integration: missing build $(if $(SCENARIOS),clients stock)
	@set -x; \
	CERTSD_CONTAINERD=$(CONTAINERD) $(GO) test $(if $(SCENARIOS),,-v) -count=1 -timeout 15m ./integration

# Of 2.2 our build counts as stock; 1.7 and 2.3 are among the clients.
stock:
	$(MAKE) -f $(firstword $(MAKEFILE_LIST)) build CONTAINERD=2.2

# What must be so with every containerd. The newest runs all scenarios, and so
# does any with CONTAINERD=LINE integration.
CORE := cri-alone metrics reload rotate schema1 status v1-apache v1-rotate
empty :=
# Lines share a cache and the two or more cores of the machine: one is built
# after the other, scenarios run side by side.
lines: missing units-$(NEWEST) $(if $(SCENARIOS),$(addprefix core-,$(if $(CONTAINERD),,$(filter-out $(NEWEST),$(LINES))))) ## run the core scenarios with the other release lines

# The unit tests of what meets containerd are run with the root module's pins, which are
# those of the oldest line, and here with each other line's.
units-%:
	$(GO) -C cmd/containerd/$* test $(MODULE)/imageservice $(MODULE)/plugin $(MODULE)/resolver

core-%: units-%
	$(MAKE) -f $(firstword $(MAKEFILE_LIST)) build CONTAINERD=$*
	CERTSD_CONTAINERD=$* $(GO) test -count=1 -timeout 15m -run 'TestScripts/^($(subst $(empty) ,|,$(strip $(CORE))))$$' ./integration

bump: ## move a release line of containerd to its newest patch release, CONTAINERD=2.3, and say what broke
	@test -n "$(CONTAINERD)" || { echo "which release line? CONTAINERD=LINE: $(LINES)" >&2; exit 2; }
	GO="$(GO)" MAKE="$(MAKE)" cmd/containerd/update.sh $(CONTAINERD)

outdated: ## list what is out of date: newer and retracted versions of what each module here requires itself
	@set -e; for module in $(MODULES); do echo "$$module:"; (cd $$module && \
		$(GO) list -m -f '{{if not (or .Indirect .Main .Replace)}}{{.Path}}{{end}}' all | xargs $(GO) list -m -u -e -f \
		'{{if .Error}}  {{.Path}}: {{.Error.Err}}{{else if .Retracted}}  {{.Path}} {{.Version}} is retracted: {{.Retracted}}{{else if .Update}}  {{.Path}} {{.Version}}: {{.Update.Version}}{{end}}' | sed '/^$$/d'); done

upstream: ## apply the changes proposed to containerd, docs/upstream, and run their tests without and with them
	GO="$(GO)" docs/upstream/run.sh

lint: $(ACTIONLINT) $(GOFUMPT) $(STATICCHECK) $(GOLANGCI) ## check format, code and workflows
	@set -x; $(ACTIONLINT) -shellcheck= -pyflakes= .github/workflows/*.yml
	@bad=$$($(GOFUMPT) -l .); test -z "$$bad" || { echo "not formatted (make fmt):"; echo "$$bad"; exit 1; }
	@set -ex; for module in $(MODULES); do (cd $$module && $(GO) vet ./... && $(STATICCHECK) ./... && \
		$(GOLANGCI) run --allow-parallel-runners ./...); done

fmt: $(GOFUMPT) ## format the code
	$(GOFUMPT) -w .

# The tag to compare with: the last one before this commit.
BASE ?= $(shell git describe --tags --abbrev=0 2>/dev/null)
apidiff: $(APIDIFF) ## list what changed in the exported API since the last tag; BASE=COMMIT: since that
	@test -n "$(BASE)" || { echo "There is no tag yet, so no API is promised yet. make apidiff BASE=COMMIT compares with a commit."; exit 0; }; \
	set -e; old=$$(mktemp -d); trap 'rm -rf "$$old"' EXIT; \
	git archive --format=tar "$(BASE)" >"$$old/tar"; tar -xf "$$old/tar" -C "$$old"; \
	diff() { $(APIDIFF) -m "$$@" 2>"$$old/errors" || { cat "$$old/errors" >&2; exit 1; }; }; \
	(cd "$$old" && diff -w "$$old/api" $(MODULE)); changes=$$(diff "$$old/api" $(MODULE)); \
	echo "since $(BASE):"; echo "$${changes:-no change of the exported API}"

# Which of the benchmarks. The picture of the documents is of all.
BENCH ?= .
bench: build ## run the benchmarks, each beside the peer it is compared with, and draw what they find; BENCH=REGEXP: some
	@mkdir -p .cache
	$(GO) test -p 1 -timeout 1h -run '^$$' -bench '$(BENCH)' -benchmem ./... | tee .cache/bench
	@awk -f internal/benchtest/summary.awk .cache/bench
	$(GO) run ./internal/benchplot <.cache/bench >.cache/bench.svg
	@if [ '$(BENCH)' = . ]; then grep -e '^cpu:' -e '^pkg:' -e '^Benchmark' .cache/bench >docs/pictures/bench.log; \
		cp .cache/bench.svg docs/pictures/bench.svg; fi

demo: build ## show certificates tried one after another; as root also through containerd
	bin/certsd demo
	@if [ "$$(id -u)" = 0 ]; then demo/containerd.sh; else \
		echo "As root, make demo goes on with containerd: stock containerd fails, the plugin pulls."; fi

man: $(BIN)/certsd ## write the manual page of certsd to share/man/man1/certsd.1, from what --help says
	@mkdir -p share/man/man1
	$(BIN)/certsd man >share/man/man1/certsd.1.new
	mv share/man/man1/certsd.1.new share/man/man1/certsd.1

# Nothing is built here: root may have no Go, and should not own what is in bin.
install: ## install what was built into PREFIX/bin, /usr/local/bin if not set; manual page and completion into share
	@for file in $(BINARIES); do test -x $$file || { echo "no $$file: run make build first" >&2; exit 1; }; done
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man1 bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	umask 022; $(BIN)/certsd man >$(DESTDIR)$(PREFIX)/share/man/man1/certsd.1
	umask 022; $(BIN)/certsd completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/certsd
	umask 022; $(BIN)/certsd completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_certsd
	umask 022; $(BIN)/certsd completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/certsd.fish

.PHONY: packages image twice check-packages chart

# What the chart makes is decoded by the types of three versions of Kubernetes;
# all else is tested with those of the newest.
chart: $(HELM) ## test the chart, and that the plain manifests are what it makes; UPDATE=-update writes them
	HELM=$(HELM) $(GO) -C packaging/helm test -count=1 . $(UPDATE)
	@set -ex; for version in $(KUBERNETES); do \
		HELM=$(HELM) $(GO) -C packaging/helm test -count=1 -modfile=kubernetes-$$version.mod -run '^TestObjects$$' .; done

twice: $(NFPM) $(CYCLONEDX) ## build packages of what is committed twice, and compare them; APART=yes: the second compiled anew
	MAKE="$(MAKE)" APART=$(APART) NEWEST=$(NEWEST) packaging/twice.sh .cache/packages NFPM=$(NFPM) CYCLONEDX=$(CYCLONEDX)

check-packages: twice $(addprefix $(TOOLS)/,crictl-$(CRICTL_VERSION) kubelet-$(KUBELET_VERSION) \
	containerd23-$(CONTAINERD23_VERSION) ctr23-$(CONTAINERD23_VERSION) shim23-$(CONTAINERD23_VERSION)) $(CONTAINERD1) $(PACKTOOLS) ## build packages of what is committed twice, compare them, install, upgrade and remove them
	APK=$(firstword $(PACKTOOLS)) VALID=$(lastword $(PACKTOOLS)) CERTSD_PACKAGES=$(CURDIR)/.cache/packages $(GO) test -count=1 -timeout 20m ./packaging

packages: $(NFPM) $(CYCLONEDX) ## build what is installed into dist: deb, rpm, apk, archives and a container image for two architectures; LINES=, ARCHES=, FORMATS=, IMAGE=, SIGNING_KEY=, GOFIPS140=
	GO="$(GO)" NFPM=$(NFPM) CYCLONEDX=$(CYCLONEDX) LINES="$(LINES)" ARCHES="$(ARCHES)" FORMATS="$(FORMATS)" \
		IMAGE="$(IMAGE)" SIGNING_KEY="$(SIGNING_KEY)" GOFIPS140="$(GOFIPS140)" packaging/build.sh $(DIST)

image: ## build the container image of certsd alone into dist, an archive of the OCI image layout for two architectures
	$(MAKE) -f $(firstword $(MAKEFILE_LIST)) packages LINES= FORMATS=oci

.PHONY: release
release: $(APIDIFF) $(NFPM) $(CYCLONEDX) ## make a release of what is committed, VERSION=v1.2.3, and push nothing; DRY_RUN=yes shows it; see docs/releasing.md
	@MAKE="$(MAKE)" DRY_RUN="$(DRY_RUN)" SIGNING_KEY="$(SIGNING_KEY)" packaging/release.sh "$(if $(filter command line environment,$(origin VERSION)),$(VERSION))"

clean: ## remove what was built, tools included
	rm -rf bin .cache share dist

$(ACTIONLINT):
	$(call tool,github.com/rhysd/actionlint/cmd/actionlint,$(ACTIONLINT_VERSION))

$(APIDIFF):
	$(call tool,golang.org/x/exp/cmd/apidiff,$(APIDIFF_VERSION))

$(GOFUMPT):
	$(call tool,mvdan.cc/gofumpt,$(GOFUMPT_VERSION))

$(STATICCHECK):
	$(call tool,honnef.co/go/tools/cmd/staticcheck,$(STATICCHECK_VERSION))

$(GOLANGCI):
	$(call tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_VERSION))

$(NFPM):
	$(call packager,github.com/goreleaser/nfpm/v2/cmd/nfpm,$(NFPM_VERSION))

$(HELM):
	$(call tool,helm.sh/helm/v4/cmd/helm,$(HELM_VERSION))

# What reads packages for Alpine and SBOMs, a module of its own: nothing else needs it.
$(TOOLS)/pack-%-$(PACKTOOLS_VERSION):
	mkdir -p $(TOOLS)/new
	CGO_ENABLED=0 $(GO) -C packaging/testdata/tools build -buildvcs=false -ldflags -w -o $(TOOLS)/new/$(notdir $@) ./$*
	mv $(TOOLS)/new/$(notdir $@) $@

$(CYCLONEDX):
	$(call packager,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod,$(CYCLONEDX_VERSION))

# bin/clients has each under its name: bin/clients/kubelet, bin/clients/crictl.
# A stock containerd with its ctr and its shim is in a directory of its own, to
# be put into PATH: bin/stock/1.7 and bin/stock/2.3.
pictures: bin/certsd ## draw the pictures of the documents anew, with recordings of a terminal
	PATH="$(CURDIR)/bin:$$PATH" TMPDIR=/var/tmp sh docs/pictures/record.sh 'certsd demo' 'certsd demo' | sed '/^The other commands/,$$d' >docs/pictures/demo.txt
	PATH="$(CURDIR)/bin:$$PATH" sh docs/pictures/record.sh 'certsd check, of a directory as people leave it' \
		'certsd check --offline --root certs.d registry.example:5000' >docs/pictures/check.txt
	@set -e; for text in docs/pictures/*.txt; do \
		sed 1d $$text | $(GO) run ./internal/picture -title "$$(head -n 1 $$text)" >$${text%.txt}.svg; done

# By the scenario that tests the page: .cache/screenshots has all it has made.
screenshot: missing build clients ## test the page in a browser, as root, and put its picture into the documents
	rm -rf .cache/screenshots
	CI=true $(GO) test -count=1 -timeout 15m -run 'TestScripts/^status-page$$' ./integration
	cp .cache/screenshots/status.png docs/pictures/status.png

clients: $(addprefix $(TOOLS)/,$(CLIENTS)) ## build the clients and stock daemons that the scenarios use into .cache/bin
	@mkdir -p bin/clients bin/stock/1.7 bin/stock/2.3
	@for client in $(CLIENTS); do ln -sfn $(TOOLS)/$$client bin/clients/$${client%%-*}; done
	@ln -sfn ctddecoder bin/clients/ctd-decoder
	@for stock in 1.7:1 2.3:23; do for program in containerd:containerd ctr:ctr shim:containerd-shim-runc-v2; do \
		ln -sfn ../../clients/$${program%:*}$${stock#*:} bin/stock/$${stock%:*}/$${program#*:}; \
	done; done

$(TOOLS)/crane-%:
	$(call client,github.com/google/go-containerregistry,$*,cmd/crane)

$(TOOLS)/oras-%:
	$(call client,oras.land/oras,$*,cmd/oras)

$(TOOLS)/regctl-%:
	$(call client,github.com/regclient/regclient,$*,cmd/regctl)

$(TOOLS)/conformance-%:
	$(call client,github.com/opencontainers/distribution-spec/conformance,$*,.)

# Stock containerds, without what the scenarios do not use.
STOCK_TAGS := no_aufs no_btrfs no_devmapper no_tracing no_zfs

# Built anew since it has CRI.
$(TOOLS)/containerd1-cri-%:
	$(call client,github.com/containerd/containerd,$*,cmd/containerd,$(STOCK_TAGS))

$(TOOLS)/ctr1-%:
	$(call client,github.com/containerd/containerd,$*,cmd/ctr,$(STOCK_TAGS))

$(TOOLS)/shim1-%:
	$(call client,github.com/containerd/containerd,$*,cmd/containerd-shim-runc-v2,$(STOCK_TAGS))

$(TOOLS)/containerd23-%:
	$(call client,$(UPSTREAM),$*,cmd/containerd,$(STOCK_TAGS))

$(TOOLS)/ctr23-%:
	$(call client,$(UPSTREAM),$*,cmd/ctr,$(STOCK_TAGS))

$(TOOLS)/shim23-%:
	$(call client,$(UPSTREAM),$*,cmd/containerd-shim-runc-v2,$(STOCK_TAGS))

$(TOOLS)/crictl-%:
	$(call client,sigs.k8s.io/cri-tools,$*,cmd/crictl)

# kubernetes builds a package of Kubernetes' own module at a version v1.X.Y, for which
# the staging directories that it has are replaced by directories that are not in it.
# Here they are the modules as published, v0.X.Y; all else is as Kubernetes requires
# it. Packages here may be built as a part of it: they are copied into its place.
define kubernetes
	mkdir -p $(TOOLS)/new
	cd / && $(GO) mod download k8s.io/kubernetes@v1.$(1)
	set -e; module=$$(mktemp -d); trap 'rm -r "$$module"' EXIT; \
	source="$$($(GO) env GOMODCACHE)/k8s.io/kubernetes@v1.$(1)"; \
	sed -e 's|^module .*|module kubelet|' -e 's|=> \./staging/src/\(.*\)|=> \1 v0.$(1)|' "$$source/go.mod" >"$$module/go.mod"; \
	cat "$$source/go.sum" >"$$module/go.sum"; $(if $(3),cp $(3) "$$module";) \
	cd "$$module"; $(GO) mod edit -require k8s.io/kubernetes@v1.$(1); \
	CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off \
		$(GO) build -buildvcs=false -ldflags '-w -X k8s.io/component-base/version.gitVersion=v1.$(1)' \
		-o $(TOOLS)/new/$(notdir $@) $(2)
	mv $(TOOLS)/new/$(notdir $@) $@
endef

$(TOOLS)/kubelet-v1.%:
	$(call kubernetes,$*,k8s.io/kubernetes/cmd/kubelet)

# After the kubelet, much of which it is.
$(TOOLS)/volume-%: | $(TOOLS)/kubelet-$(KUBELET_VERSION)
	$(call kubernetes,$(KUBELET_VERSION:v1.%=%),.,$(CURDIR)/integration/testdata/volume/main.go)

$(TOOLS)/svid-%:
	mkdir -p $(TOOLS)/new
	CGO_ENABLED=0 $(GO) -C integration/testdata/svid build -buildvcs=false -ldflags -w -o $(TOOLS)/new/$(notdir $@) .
	mv $(TOOLS)/new/$(notdir $@) $@

# What containerd decrypts layers with.
$(TOOLS)/ctddecoder-%:
	$(call client,github.com/containerd/imgcrypt,$*,cmd/ctd-decoder)

$(TOOLS)/dockerd-%:
	$(call client,github.com/moby/moby/v2,$*,cmd/dockerd)

$(TOOLS)/buildkitd-%:
	$(call client,github.com/moby/buildkit,$*,cmd/buildkitd)

$(TOOLS)/buildctl-%:
	$(call client,github.com/moby/buildkit,$*,cmd/buildctl)

# What drives Debian's chromium, a module of its own: nothing else needs it.
$(TOOLS)/browse-%:
	mkdir -p $(TOOLS)/new
	CGO_ENABLED=0 $(GO) -C integration/testdata/browse build -buildvcs=false -ldflags -w -o $(TOOLS)/new/$(notdir $@) .
	mv $(TOOLS)/new/$(notdir $@) $@

# What checks whether everybody can use a page, a script from npm.
$(TOOLS)/axe-%:
	mkdir -p $(TOOLS)
	set -e; dir=$$(mktemp -d); trap 'rm -r "$$dir"' EXIT; cd "$$dir"; npm pack --silent axe-core@$* >/dev/null; \
	echo '$(AXE_SHA256)  '"axe-core-$*.tgz" | sha256sum --check --quiet; tar xzf axe-core-$*.tgz package/axe.min.js; mv package/axe.min.js $@

# client builds a package of a module at a version, with build tags, where the
# module cache has it: as the main module, with the versions that its authors
# test, and with the "exclude" that "go install" refuses.
define client
	mkdir -p $(TOOLS)/new
	cd / && $(GO) mod download $(1)@$(2)
	cd $$($(GO) env GOMODCACHE)/$(1)@$(2) && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off \
		$(GO) build -buildvcs=false -ldflags -w -tags '$(4)' -o $(TOOLS)/new/$(notdir $@) ./$(3)
	mv $(TOOLS)/new/$(notdir $@) $@
endef

# packager is tool for what writes its own digest into an SBOM: the same bytes
# wherever it is built.
define packager
	mkdir -p $(TOOLS)/new
	cd $(TOOLS) && GOBIN=$(TOOLS)/new CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' $(GO) install $(1)@$(2)
	mv $(TOOLS)/new/$(notdir $(1)) $@
endef

# tool installs a package at a version as NAME-VERSION. It is built outside
# the module: tools are no dependencies.
define tool
	mkdir -p $(TOOLS)/new
	cd $(TOOLS) && GOBIN=$(TOOLS)/new GOFLAGS=-buildvcs=false $(GO) install $(1)@$(2)
	mv $(TOOLS)/new/$(notdir $(1)) $@
endef
