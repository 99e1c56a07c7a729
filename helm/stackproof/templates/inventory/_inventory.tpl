{{/*
No host path is mounted: a pod sees the node's processors, memory, disks, PCI devices and firmware names in its own /proc and /sys, which keeps
it at Pod Security `restricted`; hostPath would need `privileged` for the namespace. What stays hidden: the node's network interfaces (a pod has
its own), its mounts, its machine id and its EFI variables. Operating system, kernel and container runtime are in the Node object.

The inventory goes into a ConfigMap of the pod's own, not into a feature file for NFD: that file is a host path that must be written to,
turns into labels of 63 characters, and whoever writes it labels the node.
*/}}
{{- define "stackproof.inventory.container" -}}
command: ["python3", "-m", "stack.hardware_profiles.cluster.publish"]
args:
  - --name={{ .Values.name }}
  - --node=$(NODE_NAME)
  - --namespace=$(POD_NAMESPACE)
  - --pod=$(POD_NAME)
  - --pod-uid=$(POD_UID)
  - --every={{ .Values.inventory.everySeconds }}
env:
  - name: NODE_NAME
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_UID
    valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  # NVIDIA's container runtime adds the management library and the devices to look at; none is taken from other pods.
  - name: NVIDIA_VISIBLE_DEVICES
    value: all
  - name: NVIDIA_DRIVER_CAPABILITIES
    value: utility
{{- end }}

{{/* The token is for this pod alone, and is renewed within the hour. */}}
{{- define "stackproof.inventory.mounts" -}}
- name: credentials
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  volume:
    projected:
      defaultMode: 0440
      sources:
        - serviceAccountToken: {path: token, expirationSeconds: 3600}
        - configMap:
            name: kube-root-ca.crt
            items: [{key: ca.crt, path: ca.crt}]
- name: tmp
  mountPath: /tmp
  writable: true
  volume:
    emptyDir: {sizeLimit: 16Mi}
{{- end }}

{{/* Objects outside namespaces: two installations of one name must not meet. */}}
{{- define "stackproof.inventory.clusterMetadata" -}}
name: {{ include "stackproof.fullname" (dict "root" .root "component" .component) }}-{{ .root.Release.Namespace }}
labels:
  {{- include "stackproof.labels" . | nindent 2 }}
{{- end }}
