{{- define "stackproof.bench.container" -}}
command: ["stackproof", "bench", "run"]
args:
  - {{ .Values.bench.workload | quote }}
  - --url=http://{{ include "stackproof.fullname" (dict "root" . "component" "gateway") }}:{{ .Values.gateway.port }}
  - --api-key-file=/run/secrets/stackproof/client-key
  - --out=/results/run
  - --evidence=/results/evidence
  {{- range .Values.bench.args }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: HOME
    value: /tmp
{{- end }}

{{- define "stackproof.bench.mounts" -}}
- name: client-key
  mountPath: /run/secrets/stackproof
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "client-key") .Values.secrets.benchKey) | nindent 4 }}
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
