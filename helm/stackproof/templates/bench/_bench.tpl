{{- define "stackproof.bench.container" -}}
command: ["stackproof", "bench", "run"]
args:
  - {{ .Values.bench.workload | quote }}
  - --url={{ include "stackproof.gatewayUrl" . }}
  {{- if .Values.gateway.tls.enabled }}
  - --ca-file=/run/trust/stackproof/ca.crt
  {{- end }}
  - --model={{ .Values.model.servedName }}
  - --api-key-file=/run/secrets/stackproof/client-key
  # A folder for each try, so that no run replaces another's samples.
  - --out=/results/runs/$(POD_NAME)
  - --evidence=/results/evidence
  {{- range .Values.bench.args }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: HOME
    value: /tmp
  # The key that signs the evidence is made on the first run and stays with the results, readable by this user alone.
  - name: STACKPROOF_CONFIG
    value: /results/config
{{- end }}

{{- define "stackproof.bench.mounts" -}}
- name: client-key
  mountPath: /run/secrets/stackproof
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "client-key") .Values.secrets.benchKey) | nindent 4 }}
{{- if .Values.gateway.tls.enabled }}
- name: gateway-ca
  mountPath: /run/trust/stackproof
  volume:
    {{- $ca := .Values.trust.gatewayCa }}
    {{- include "stackproof.filesVolume" (dict "kind" $ca.kind "name" $ca.name "files" (list (dict "key" $ca.key "path" "ca.crt"))) | nindent 4 }}
{{- end }}
- name: results
  mountPath: /results
  writable: true
  volume:
    persistentVolumeClaim: {claimName: {{ .Values.bench.resultsClaim | quote }}}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: {{ .Values.bench.scratch }}}
{{- end }}
