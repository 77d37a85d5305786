{{- define "logwarden.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "logwarden.labels" -}}
{{ include "logwarden.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "logwarden.selector" -}}
app.kubernetes.io/name: logwarden
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "logwarden.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "logwarden.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "logwarden.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* Refuses settings that the chart sets from other values, and secrets in plain text. */}}
{{- define "logwarden.checkSettings" -}}
{{- range $name, $value := . }}
{{- if has $name (list "HTTP__HOST" "HTTP__PORT" "HTTP__ADVERTISED_ADDRESS" "KAFKA__GROUP_INSTANCE_ID" "BRIDGE__HTTP_PORT") }}
{{- fail (printf "settings.%s is set by the chart: use the values http, staticMembership and bridge.port" $name) }}
{{- end }}
{{- if regexMatch "(PASSWORD|SECRET|TOKEN|ROUTING_KEY|API_KEY|AUTHORIZATION|SLACK_URL)$" $name }}
{{- fail (printf "settings.%s is a secret: put it into a Secret, and name that in `files` as %s_FILE" $name $name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A value as text. Helm reads numbers of YAML as floats, and writes 2000000 as 2e+06. */}}
{{- define "logwarden.text" -}}
{{- if and (kindIs "float64" .) (eq (float64 .) (floor .)) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end }}

{{/* The variables of a container: settings of the release, then those of its own, then files. */}}
{{- define "logwarden.filesAsVariables" -}}
{{- range . }}
- name: LOGWARDEN_{{ .setting }}
  value: /etc/logwarden/files/{{ .setting | lower }}
{{- end }}
{{- end }}

{{- define "logwarden.filesAsVolume" -}}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      {{- if eq (empty .secret) (empty .configMap) }}
      {{- fail (printf "files: %s needs either a secret or a configMap" .setting) }}
      {{- end }}
      {{- if .secret }}
      - secret:
          name: {{ .secret }}
      {{- else }}
      - configMap:
          name: {{ .configMap }}
      {{- end }}
          items:
            - key: {{ .key }}
              path: {{ .setting | lower }}
      {{- end }}
{{- end }}

{{- define "logwarden.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "logwarden.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "logwarden.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{/* KAFKA__BOOTSTRAP_SERVERS is needed by topics and scaler as well. */}}
{{- define "logwarden.bootstrap" -}}
{{- required "settings.KAFKA__BOOTSTRAP_SERVERS names no broker" .Values.settings.KAFKA__BOOTSTRAP_SERVERS -}}
{{- end }}
