{{/*
The name of the objects: that of the release, as a DNS label that begins with a letter and leaves room for suffixes. A
name that is too long ends in its hash, because two of them may begin alike.
*/}}
{{- define "logwarden.name" -}}
{{- $name := .Release.Name | replace "." "-" }}
{{- if regexMatch "^[0-9]" .Release.Name }}
{{- $name = print "logwarden-" $name }}
{{- end }}
{{- if gt (len $name) 40 }}
{{- $name = print ($name | trunc 31 | trimSuffix "-") "-" (.Release.Name | sha256sum | trunc 8) }}
{{- end }}
{{- $name -}}
{{- end }}

{{- define "logwarden.labels" -}}
{{ include "logwarden.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
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

{{/* Members with GPUs run the image with CUDA, unless a tag or a digest names another one. */}}
{{- define "logwarden.memberImage" -}}
{{- include "logwarden.image" . -}}
{{- if and .Values.gpu (not (or .Values.image.tag .Values.image.digest)) -}}-cuda{{- end -}}
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
{{- if has $name (list "HTTP__HOST" "HTTP__PORT" "HTTP__ADVERTISED_ADDRESS" "KAFKA__GROUP_INSTANCE_ID" "BRIDGE__HTTP_PORT" "MCP__ALLOWED_HOSTS") }}
{{- fail (printf "settings.%s is set by the chart: use the values http, staticMembership, bridge.port and mcp.hosts" $name) }}
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

{{/* Lists of files as one, in which those of a later list stand for those of an earlier one of the same setting. */}}
{{- define "logwarden.files" -}}
{{- $files := dict }}
{{- range . }}
{{- $own := dict }}
{{- range . }}
{{- if hasKey $own .setting }}
{{- fail (printf "files: %s is named twice" .setting) }}
{{- end }}
{{- $own = set $own .setting . }}
{{- end }}
{{- range $setting, $file := $own }}
{{- $files = set $files $setting $file }}
{{- end }}
{{- end }}
{{- range keys $files | sortAlpha }}
- {{ get $files . | toJson }}
{{- end }}
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

{{/* How a pod of one workload is placed, from the values of that workload. */}}
{{- define "logwarden.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "logwarden.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "logwarden.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Seconds from SIGTERM to the kill. Of the drain's limit the last setting counts, as in the container. */}}
{{- define "logwarden.graceSeconds" -}}
{{- $drain := 30 }}
{{- range .settings }}
{{- $drain = .SHUTDOWN__DRAIN_TIMEOUT_S | default $drain }}
{{- end }}
{{- add (ceil (float64 $drain)) .after }}
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
