{{- define "stackproof.authz.container" -}}
command: ["python3", "-m", "stack.serving.authz"]
args:
  - --policy=/etc/stackproof/policy.yaml
  - --keys=/run/secrets/stackproof/keys/keys.json
  - --engine-key=/run/secrets/stackproof/engine/engine-key
  - --host=0.0.0.0
  - --port={{ .Values.authz.port }}
  {{- if .Values.authz.models }}
  - --models=/etc/stackproof/models.json
  {{- end }}
  # A chain of its own for each replica: two writers would break one.
  - --audit-log=/audit/$(POD_NAME).jsonl
  {{- if .Values.authz.budgets }}
  - --budgets=/audit/budgets.json
  {{- end }}
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
ports:
  - name: http
    containerPort: {{ .Values.authz.port }}
    protocol: TCP
  {{- with .Values.authz.metricsPort }}
  - name: metrics
    containerPort: {{ . }}
    protocol: TCP
  {{- end }}
# The service answers the policy's health path for itself; through the gateway it stands for the engine too.
startupProbe:
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: http}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: {{ .Values.gateway.healthPath }}, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{- define "stackproof.authz.mounts" -}}
- name: policy
  mountPath: /etc/stackproof
  volume:
    configMap: {name: {{ include "stackproof.fullname" (dict "root" . "component" "authz") }}}
- name: client-keys
  mountPath: /run/secrets/stackproof/keys
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "keys.json") .Values.secrets.clientKeys) | nindent 4 }}
- name: engine-key
  mountPath: /run/secrets/stackproof/engine
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "engine-key") .Values.secrets.engineKey) | nindent 4 }}
{{- /* Whole volumes, never a subPath: only those follow an object that changes. */}}
{{- with .Values.authz.keySets }}
- name: key-sets
  mountPath: /run/trust/stackproof/key-sets
  volume:
    {{- include "stackproof.filesVolume" (merge (dict "files" (include "stackproof.sameNames" . | fromYamlArray)) $.Values.trust.keySets) | nindent 4 }}
{{- end }}
{{- with .Values.authz.pseudonymKeys }}
- name: pseudonym-keys
  mountPath: /run/secrets/stackproof/pseudonyms
  volume:
    {{- $secret := dict "kind" "Secret" "name" $.Values.secrets.pseudonymKeys.name }}
    {{- include "stackproof.filesVolume" (merge (dict "files" (include "stackproof.sameNames" . | fromYamlArray)) $secret) | nindent 4 }}
{{- end }}
- name: audit
  mountPath: /audit
  writable: true
  volume:
    {{- if .Values.authz.audit.existingClaim }}
    persistentVolumeClaim: {claimName: {{ .Values.authz.audit.existingClaim | quote }}}
    {{- else }}
    emptyDir: {sizeLimit: {{ .Values.authz.audit.size }}}
    {{- end }}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{/* Keys of an object as files of the same names. */}}
{{- define "stackproof.sameNames" -}}
{{- range . }}
- {key: {{ . | quote }}, path: {{ . | quote }}}
{{- end }}
{{- end }}
