{{- define "stackproof.gateway.container" -}}
command: ["envoy"]
args: ["--config-path", "/etc/stackproof/envoy.yaml", "--log-level", "warning", "--disable-hot-restart", "--concurrency", {{ .Values.gateway.workers | quote }}]
ports:
  - name: {{ include "stackproof.gateway.portName" . }}
    containerPort: {{ .Values.gateway.port }}
    protocol: TCP
  {{- with .Values.gateway.probePort }}
  - name: probe
    containerPort: {{ . }}
    protocol: TCP
  {{- end }}
  {{- with .Values.gateway.metricsPort }}
  - name: metrics
    containerPort: {{ . }}
    protocol: TCP
  {{- end }}
startupProbe:
  tcpSocket: {port: {{ include "stackproof.gateway.portName" . }}}
  periodSeconds: 1
  failureThreshold: 30
# Ready means that gateway, policy service and engine all answer (of several pools none is asked); alive means only that Envoy does.
readinessProbe:
  {{- if .Values.gateway.probePort }}
  # The kubelet has no client's certificate, and a canary that fails shall not close the gateway: a port that no NetworkPolicy opens answers it.
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: probe}
  {{- else if .Values.gateway.tls.enabled }}
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: https, scheme: HTTPS}
  {{- else }}
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: http}
  {{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  tcpSocket: {port: {{ include "stackproof.gateway.portName" . }}}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{- define "stackproof.gateway.portName" -}}
{{ ternary "https" "http" .Values.gateway.tls.enabled }}
{{- end }}

{{- define "stackproof.gateway.mounts" -}}
- name: config
  mountPath: /etc/stackproof
  volume:
    configMap: {name: {{ include "stackproof.fullname" (dict "root" . "component" "gateway") }}}
{{- /* Whole volumes, never a subPath: only those follow a Secret that changes. */}}
{{- if .Values.gateway.tls.enabled }}
- name: tls
  mountPath: /run/secrets/stackproof/tls
  volume:
    {{- $pair := list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key") }}
    {{- include "stackproof.filesVolume" (dict "kind" "Secret" "name" .Values.secrets.tls.name "files" $pair) | nindent 4 }}
{{- end }}
{{- if .Values.gateway.tls.clientCertificates }}
- name: client-ca
  mountPath: /run/trust/stackproof/client-ca
  volume:
    {{- $ca := .Values.trust.clientCa }}
    {{- include "stackproof.filesVolume" (dict "kind" $ca.kind "name" $ca.name "files" (list (dict "key" $ca.key "path" "ca.crt"))) | nindent 4 }}
{{- end }}
{{- include "stackproof.collectorMounts" . }}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: 64Mi}
{{- end }}
