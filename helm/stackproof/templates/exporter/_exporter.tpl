{{- define "stackproof.exporter.container" -}}
command: ["stackproof", "exporter"]
args:
  - --listen=0.0.0.0
  - --port={{ .Values.exporter.port }}
  - --every={{ .Values.exporter.every }}
env:
  # The NVIDIA runtime shows all GPUs of the node, for reading alone: none is reserved.
  - name: NVIDIA_VISIBLE_DEVICES
    value: all
  - name: NVIDIA_DRIVER_CAPABILITIES
    value: utility
ports:
  - name: metrics
    containerPort: {{ .Values.exporter.port }}
    protocol: TCP
startupProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 30
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 30
  timeoutSeconds: 5
{{- end }}

{{- define "stackproof.exporter.mounts" -}}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: 16Mi}
{{- end }}

{{/* The rules of the groups that are on, with the temperature put in. The file is no template: its own braces are Prometheus'. */}}
{{- define "stackproof.exporter.rules" -}}
{{- $rules := .Values.exporter.rules }}
{{- $groups := list }}
{{- range (.Files.Get "files/exporter-rules.yaml" | replace "HOT_CELSIUS" (toString $rules.hotCelsius) | fromYaml).groups }}
  {{- if index $rules (trimPrefix "stackproof-" .name) }}
    {{- $groups = append $groups . }}
  {{- end }}
{{- end }}
{{- toYaml $groups }}
{{- end }}
