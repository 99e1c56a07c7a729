{{- define "stackproof.gateway.container" -}}
command: ["envoy"]
args: ["--config-path", "/etc/stackproof/envoy.yaml", "--log-level", "warning", "--disable-hot-restart", "--concurrency", {{ .Values.gateway.workers | quote }}]
ports:
  - name: http
    containerPort: {{ .Values.gateway.port }}
    protocol: TCP
  {{- with .Values.gateway.metricsPort }}
  - name: metrics
    containerPort: {{ . }}
    protocol: TCP
  {{- end }}
startupProbe:
  tcpSocket: {port: http}
  periodSeconds: 1
  failureThreshold: 30
# Ready means that gateway, policy service and engine all answer; alive means only that Envoy does.
readinessProbe:
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  tcpSocket: {port: http}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{- define "stackproof.gateway.mounts" -}}
- name: config
  mountPath: /etc/stackproof
  volume:
    configMap: {name: {{ include "stackproof.fullname" (dict "root" . "component" "gateway") }}}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: 64Mi}
{{- end }}
