{{/* Component, port and port name of what is scraped: a list of dictionaries. */}}
{{- define "stackproof.monitoring.targets" -}}
{{- with .Values.gateway.metricsPort }}
- {component: gateway, port: {{ . }}, portName: metrics}
{{- end }}
{{- with .Values.authz.metricsPort }}
- {component: authz, port: {{ . }}, portName: metrics}
{{- end }}
{{- if .Values.monitoring.engines }}
- {component: engine, port: {{ .Values.engine.port }}, portName: http}
{{- end }}
{{- end }}
