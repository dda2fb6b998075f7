{{- define "certsd.name" -}}
{{- $name := .Values.nameOverride | default .Release.Name -}}
{{- if not (contains "certsd" $name) }}{{ $name = printf "%s-certsd" $name }}{{ end -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "certsd.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- if .Values.image.digest }}{{ $image = printf "%s@%s" $image .Values.image.digest }}{{ end -}}
{{- $image -}}
{{- end }}

{{- define "certsd.secretName" -}}
{{- .Values.gateway.secret | default (printf "%s-gateway" (include "certsd.name" .)) -}}
{{- end }}

{{/* Settings are those of the configuration file, given as flags. */}}
{{- define "certsd.settings" -}}
{{- range $key, $value := . }}
{{- range $one := (kindIs "slice" $value | ternary $value (list $value)) }}
{{- if kindIs "float64" $one }}{{ $one = int64 $one }}{{ end }}
- {{ printf "--%s=%v" ($key | replace "_" "-") $one | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Nothing but what it is for: these hold for each container. */}}
{{- define "certsd.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "certsd.asRoot" -}}
# Root, but without privileges: the owner of the node's files.
runAsUser: 0
runAsGroup: 0
{{ include "certsd.confined" . }}
{{- end }}

{{- define "certsd.asNobody" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
{{ include "certsd.confined" . }}
{{- end }}

{{/* A directory of a registry at another port than 443 is named HOST_PORT_: no path of a mount has a colon. */}}
{{- define "certsd.directory" -}}
{{- .host }}{{ if .port }}_{{ .port }}_{{ end -}}
{{- end }}

{{- define "certsd.certificateVolumes" -}}
{{- if .Values.gateway.certificates.secrets }}
{{- range $i, $s := .Values.gateway.certificates.secrets }}
- name: certs-{{ $i }}
  secret: { secretName: {{ $s.secret | quote }}, defaultMode: 0440 }
{{- end }}
{{- else }}
- name: certs
  hostPath: { path: {{ .Values.gateway.certificates.hostPath | quote }}, type: Directory }
{{- end }}
{{- end }}

{{- define "certsd.certificateMounts" -}}
{{- if .Values.gateway.certificates.secrets }}
{{- range $i, $s := .Values.gateway.certificates.secrets }}
- { name: certs-{{ $i }}, mountPath: {{ printf "/etc/certsd/certs.d/%s" (include "certsd.directory" $s) | quote }}, readOnly: true }
{{- end }}
{{- else }}
- { name: certs, mountPath: /etc/certsd/certs.d, readOnly: true }
{{- end }}
{{- end }}
