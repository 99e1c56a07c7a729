{{/*
One job with what it leaves to labeling.defaults, as YAML. A key that the job gives replaces the default's whole value: a merge would take
0 and an empty list for "not given".
  root, job  the chart's context and an item of .Values.labeling.jobs
*/}}
{{- define "stackproof.labeling.job" -}}
{{- $job := deepCopy .job }}
{{- range $key, $value := .root.Values.labeling.defaults }}
  {{- if not (hasKey $job $key) }}
    {{- $_ := set $job $key $value }}
  {{- end }}
{{- end }}
{{- toYaml $job }}
{{- end }}

{{/* `app` is KubeRay's own: the Services it makes select the head by it. */}}
{{- define "stackproof.labeling.context" -}}
{{- toYaml (dict "component" (printf "label-%s" .job.name) "app" "kuberay") }}
{{- end }}

{{/* A RayJob that has begun does not take changes: another pipeline, image or size is another RayJob, which goes on in the same folder. */}}
{{- define "stackproof.labeling.rayJobName" -}}
{{- $made := printf "%s%s%s%s" (toYaml .job) (toYaml .root.Values.images.ray) .root.Values.labeling.rayVersion (include "stackproof.labeling.authority" .) }}
{{- .root.Values.name }}-label-{{ .job.name }}-{{ $made | sha256sum | trunc 8 }}
{{- end }}

{{/* Who signed the certificate of the endpoint, as {kind, name, key}: the job's own word, or the gateway's authority; nothing for the public authorities. */}}
{{- define "stackproof.labeling.authority" -}}
{{- if .job.ca }}
{{- toYaml .job.ca }}
{{- else if and (not .job.url) .root.Values.gateway.tls.enabled }}
{{- toYaml .root.Values.trust.gatewayCa }}
{{- end }}
{{- end }}

{{/* The schema lets nothing into these words that a shell would read as more than a word. */}}
{{- define "stackproof.labeling.entrypoint" -}}
stackproof label run /pipeline/pipeline.yaml --out=/out/{{ .job.out.path }}
{{- if .job.url }} --url={{ .job.url }}
{{- else }} --url={{ include "stackproof.gatewayUrl" .root }}
{{- end }}
{{- if .job.apiKey }} --api-key-file=/run/secrets/stackproof/api-key{{ end }}
{{- if include "stackproof.labeling.authority" . }} --ca-file=/run/trust/stackproof/ca.crt{{ end }}
{{- range .job.args }} {{ . }}{{ end }}
{{- end }}

{{- define "stackproof.labeling.env" -}}
# The user id has no entry in the image's /etc/passwd, and only the scratch volumes can be written.
- name: USER
  value: stackproof
- name: HOME
  value: /tmp
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
{{- end }}

{{/* The same on every node: a shard task reads sources, key and authority, and writes beside the shard's final place. */}}
{{- define "stackproof.labeling.mounts" -}}
- name: pipeline
  mountPath: /pipeline
  volume:
    configMap:
      {{- with .job.pipeline.configMap }}
      name: {{ .name }}
      items: [{key: {{ .key }}, path: pipeline.yaml}]
      {{- else }}
      name: {{ include "stackproof.fullname" . }}
      items: [{key: pipeline.yaml, path: pipeline.yaml}]
      {{- end }}
{{- with .job.data }}
- name: data
  mountPath: /data
  subPath: {{ .subPath | default "" | quote }}
  volume:
    persistentVolumeClaim: {claimName: {{ .existingClaim | quote }}, readOnly: true}
{{- end }}
- name: out
  mountPath: /out
  writable: true
  volume:
    persistentVolumeClaim: {claimName: {{ .job.out.existingClaim | quote }}}
{{- with .job.apiKey }}
- name: api-key
  mountPath: /run/secrets/stackproof
  volume:
    {{- include "stackproof.secretVolume" (merge (dict "path" "api-key") .) | nindent 4 }}
{{- end }}
{{- with include "stackproof.labeling.authority" . | fromYaml }}
- name: authority
  mountPath: /run/trust/stackproof
  volume:
    {{- include "stackproof.filesVolume" (dict "kind" .kind "name" .name "files" (list (dict "key" .key "path" "ca.crt"))) | nindent 4 }}
{{- end }}
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: {{ .job.scratch.tmp }}}
- name: shm
  mountPath: /dev/shm
  writable: true
  volume:
    emptyDir: {medium: Memory, sizeLimit: {{ .job.scratch.sharedMemory }}}
{{- end }}

{{/*
A pod template of the Ray cluster.
  root, component, app, job  as above
  resources, ports           of this group
  mounts                     list as in stackproof.podSpec
*/}}
{{- define "stackproof.labeling.pod" -}}
metadata:
  labels:
    {{- include "stackproof.selectorLabels" . | nindent 4 }}
spec:
  {{- $container := dict "env" (include "stackproof.labeling.env" . | fromYamlArray) }}
  {{- with .ports }}
    {{- $_ := set $container "ports" . }}
  {{- end }}
  {{- $settings := dict "resources" .resources "nodeSelector" .job.nodeSelector "tolerations" .job.tolerations }}
  {{- include "stackproof.podSpec" (merge (dict "image" .root.Values.images.ray "settings" $settings "container" $container "graceSeconds" 30) .) | nindent 2 }}
{{- end }}

{{/*
The autoscaler's container stands in the head's pod. It alone mounts a token, of an hour, for the rights that KubeRay gives to the service
account (pods and the RayCluster of this namespace); the containers that run the pipeline have none.
*/}}
{{- define "stackproof.labeling.credentials" -}}
name: credentials
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3600}
    - configMap:
        name: kube-root-ca.crt
        items: [{key: ca.crt, path: ca.crt}]
{{- end }}

{{- define "stackproof.labeling.autoscaler" -}}
version: v2
idleTimeoutSeconds: 60
env:
  {{- include "stackproof.labeling.env" . | nindent 2 }}
resources:
  requests: {cpu: 100m, memory: 256Mi, ephemeral-storage: 16Mi}
  limits: {cpu: 500m, memory: 512Mi, ephemeral-storage: 64Mi}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: ["ALL"]
volumeMounts:
  - {name: credentials, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  - {name: tmp, mountPath: /tmp, readOnly: false}
  - {name: ray-logs, mountPath: /tmp/ray, readOnly: false}
{{- end }}
