{{/*
Every pool of engines as YAML: the first as `engine` and `model` have it, then each of `pools` with what it leaves to them. A pool's key replaces the
whole value: a merge would give an engine on processor cores the GPUs of another.
*/}}
{{- define "stackproof.engines" -}}
{{- $first := deepCopy .Values.engine }}
{{- $_ := set $first "component" "engine" }}
{{- $_ := set $first "servedName" .Values.model.servedName }}
{{- $_ := set $first "model" .Values.model }}
{{- $engines := list $first }}
{{- range $name, $pool := .Values.pools }}
  {{- $engine := deepCopy $pool }}
  {{- range $key, $value := $.Values.engine }}
    {{- if not (hasKey $engine $key) }}
      {{- $_ := set $engine $key $value }}
    {{- end }}
  {{- end }}
  {{- $_ := set $engine "component" $name }}
  {{- $claim := $pool.model.existingClaim | default $.Values.model.existingClaim }}
  {{- $_ := set $engine "model" (dict "existingClaim" $claim "subPath" $pool.model.subPath "mountPath" $.Values.model.mountPath) }}
  {{- $engines = append $engines $engine }}
{{- end }}
{{- toYaml $engines }}
{{- end }}

{{/* root, engine: the chart's context and one of stackproof.engines. */}}
{{- define "stackproof.engine.container" -}}
# vLLM takes its key from the environment alone; the shell reads it from the mounted file and becomes the engine.
command:
  - /bin/sh
  - -c
  - 'VLLM_API_KEY="$(cat /run/secrets/stackproof/engine-key)" && export VLLM_API_KEY && exec "$@"'
  - engine
  {{- toYaml .engine.command | nindent 2 }}
args:
  {{- toYaml .engine.args | nindent 2 }}
env:
  {{- if .root.Values.tracing.endpoint }}
  # Ahead of those that are made of them: they name the engine in its spans.
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: NODE_NAME
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  {{- end }}
  {{- toYaml .engine.env | nindent 2 }}
  # The user id has no entry in the image's /etc/passwd, and only the scratch volumes can be written.
  - name: USER
    value: stackproof
  - name: HOME
    value: /cache
  - name: XDG_CACHE_HOME
    value: /cache
  - name: VLLM_CACHE_ROOT
    value: /cache/vllm
  - name: TORCHINDUCTOR_CACHE_DIR
    value: /cache/inductor
  - name: TRITON_CACHE_DIR
    value: /cache/triton
ports:
  - name: http
    containerPort: {{ .engine.port }}
    protocol: TCP
startupProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 5
  failureThreshold: {{ div (add .engine.startupSeconds 4) 5 }}
readinessProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
{{- end }}

{{- define "stackproof.engine.mounts" -}}
- name: model
  mountPath: {{ .engine.model.mountPath }}
  subPath: {{ .engine.model.subPath | quote }}
  volume:
    persistentVolumeClaim: {claimName: {{ .engine.model.existingClaim | quote }}, readOnly: true}
- name: engine-key
  mountPath: /run/secrets/stackproof
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "engine-key") .root.Values.secrets.engineKey) | nindent 4 }}
{{- include "stackproof.collectorMounts" .root }}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: {{ .engine.scratch.tmp }}}
- name: cache
  mountPath: /cache
  writable: true
  volume:
    emptyDir: {sizeLimit: {{ .engine.scratch.cache }}}
- name: shm
  mountPath: /dev/shm
  writable: true
  volume:
    emptyDir: {medium: Memory, sizeLimit: {{ .engine.scratch.sharedMemory }}}
{{- end }}
