{{/* The name of one component's objects; the gateway's configuration was rendered with these names. */}}
{{- define "stackproof.fullname" -}}
{{ .root.Values.name }}-{{ .component }}
{{- end }}

{{/* What selects one component's pods: immutable, and the least that tells them apart. `app` where it is not this chart that names them. */}}
{{- define "stackproof.selectorLabels" -}}
app.kubernetes.io/name: {{ .app | default .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Values.name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "stackproof.labels" -}}
{{ include "stackproof.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stackproof
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "stackproof.metadata" -}}
name: {{ include "stackproof.fullname" . }}
labels:
  {{- include "stackproof.labels" . | nindent 2 }}
{{- end }}

{{- define "stackproof.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{/* Time for the endpoint to leave every proxy, and for open streams to end, before SIGTERM. `sleep` needs Kubernetes 1.30. */}}
{{- define "stackproof.preStop" -}}
{{- if semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version }}
sleep:
  seconds: {{ .seconds }}
{{- else }}
exec:
  command: ["sleep", {{ .seconds | quote }}]
{{- end }}
{{- end }}

{{/*
The pod of every workload: all hardening is here and nowhere else.
  root, component  the chart's context and the component's name (also its service account)
  image            one of .Values.images
  settings         resources, nodeSelector, tolerations of the component
  container        what differs, as a dictionary: command, args, env, ports, probes
  mounts           list of {name, mountPath, subPath, writable, volume}; `volume` is the source
  drainSeconds     wait before SIGTERM (none for a Job); graceSeconds is what is left after it
*/}}
{{- define "stackproof.podSpec" -}}
serviceAccountName: {{ include "stackproof.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
terminationGracePeriodSeconds: {{ add (.drainSeconds | default 0) .graceSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.podSecurity.runAsUser }}
  runAsGroup: {{ .root.Values.podSecurity.runAsGroup }}
  fsGroup: {{ .root.Values.podSecurity.runAsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: {{ .component }}
    image: {{ include "stackproof.image" .image | quote }}
    imagePullPolicy: IfNotPresent
    {{- toYaml .container | nindent 4 }}
    {{- with .drainSeconds }}
    lifecycle:
      preStop:
        {{- include "stackproof.preStop" (dict "root" $.root "seconds" .) | trim | nindent 8 }}
    {{- end }}
    resources:
      {{- toYaml .settings.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      privileged: false
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      capabilities:
        drop: ["ALL"]
    volumeMounts:
      {{- range .mounts }}
      - name: {{ .name }}
        mountPath: {{ .mountPath }}
        {{- with .subPath }}
        subPath: {{ . }}
        {{- end }}
        readOnly: {{ not .writable }}
      {{- end }}
volumes:
  {{- range .mounts }}
  - name: {{ .name }}
    {{- toYaml .volume | nindent 4 }}
  {{- end }}
{{- with .settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "stackproof.selectorLabels" . | nindent 8 }}
{{- end }}

{{/* One key of an existing Secret as a read-only file, for the pod's group alone. */}}
{{- define "stackproof.secretVolume" -}}
secret:
  secretName: {{ .name }}
  defaultMode: 0440
  items:
    - key: {{ .key }}
      path: {{ .path }}
{{- end }}

{{/* Several keys of an existing Secret or ConfigMap as read-only files of the same names: `kind`, `name`, and `files` as a list of {key, path}. */}}
{{- define "stackproof.filesVolume" -}}
{{- if eq .kind "Secret" -}}
secret:
  secretName: {{ .name }}
  defaultMode: 0440
  items:
    {{- toYaml .files | nindent 4 }}
{{- else -}}
configMap:
  name: {{ .name }}
  items:
    {{- toYaml .files | nindent 4 }}
{{- end }}
{{- end }}

{{/* How the pods of this installation reach the gateway. */}}
{{- define "stackproof.gatewayUrl" -}}
{{ ternary "https" "http" .Values.gateway.tls.enabled }}://{{ include "stackproof.fullname" (dict "root" . "component" "gateway") }}:{{ .Values.gateway.port }}
{{- end }}

{{/* Who signed the collector's certificate, for those that send spans there; nothing where it is a public authority. */}}
{{- define "stackproof.collectorMounts" -}}
{{- if .Values.tracing.ownAuthority }}
- name: collector-ca
  mountPath: /run/trust/stackproof/collector-ca
  volume:
    {{- $ca := .Values.trust.collectorCa }}
    {{- include "stackproof.filesVolume" (dict "kind" $ca.kind "name" $ca.name "files" (list (dict "key" $ca.key "path" "ca.crt"))) | nindent 4 }}
{{- end }}
{{- end }}

{{/* Where spans go; nothing without tracing. */}}
{{- define "stackproof.collectorEgress" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
- to:
    {{- toYaml .collectors | nindent 4 }}
  ports:
    - protocol: TCP
      port: {{ .port }}
{{- end }}
{{- end }}
{{- end }}

{{/* Peers and ports of the network policies. */}}
{{- define "stackproof.peer" -}}
- podSelector:
    matchLabels:
      {{- include "stackproof.selectorLabels" . | nindent 6 }}
{{- end }}

{{- define "stackproof.dnsEgress" -}}
- to:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.dns.namespaceLabels | nindent 10 }}
      podSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.dns.podLabels | nindent 10 }}
  ports:
    - protocol: UDP
      port: {{ .Values.networkPolicy.dns.port }}
    - protocol: TCP
      port: {{ .Values.networkPolicy.dns.port }}
{{- end }}
