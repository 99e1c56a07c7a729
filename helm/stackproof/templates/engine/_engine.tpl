{{- define "stackproof.engine.container" -}}
# vLLM takes its key from the environment alone; the shell reads it from the mounted file and becomes the engine.
command:
  - /bin/sh
  - -c
  - 'VLLM_API_KEY="$(cat /run/secrets/stackproof/engine-key)" && export VLLM_API_KEY && exec "$@"'
  - engine
  {{- toYaml .Values.engine.command | nindent 2 }}
args:
  {{- toYaml .Values.engine.args | nindent 2 }}
env:
  {{- if .Values.tracing.endpoint }}
  # Ahead of those that are made of them: they name the engine in its spans.
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: NODE_NAME
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  {{- end }}
  {{- toYaml .Values.engine.env | nindent 2 }}
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
    containerPort: {{ .Values.engine.port }}
    protocol: TCP
startupProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 5
  failureThreshold: {{ div (add .Values.engine.startupSeconds 4) 5 }}
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
  mountPath: {{ .Values.model.mountPath }}
  subPath: {{ .Values.model.subPath | quote }}
  volume:
    persistentVolumeClaim: {claimName: {{ .Values.model.existingClaim | quote }}, readOnly: true}
- name: engine-key
  mountPath: /run/secrets/stackproof
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "engine-key") .Values.secrets.engineKey) | nindent 4 }}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: {{ .Values.engine.scratch.tmp }}}
- name: cache
  mountPath: /cache
  writable: true
  volume:
    emptyDir: {sizeLimit: {{ .Values.engine.scratch.cache }}}
- name: shm
  mountPath: /dev/shm
  writable: true
  volume:
    emptyDir: {medium: Memory, sizeLimit: {{ .Values.engine.scratch.sharedMemory }}}
{{- end }}
