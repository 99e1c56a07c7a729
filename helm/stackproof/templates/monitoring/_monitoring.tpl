{{/* Component, port and port name of what is scraped: a list of dictionaries. */}}
{{- define "stackproof.monitoring.targets" -}}
{{- with .Values.gateway.metricsPort }}
- {component: gateway, port: {{ . }}, portName: metrics}
{{- end }}
{{- with .Values.authz.metricsPort }}
- {component: authz, port: {{ . }}, portName: metrics}
{{- end }}
{{- if .Values.monitoring.engines }}
{{- range include "stackproof.engines" . | fromYamlArray }}
- {component: {{ .component }}, port: {{ .port }}, portName: http}
{{- end }}
{{- end }}
{{- end }}
