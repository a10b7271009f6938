{{- /* What every pod of Shoal runs as. */ -}}
{{- define "shoal.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "shoal.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* For init containers that work on the node's folders: takes (dict "root" $ "capabilities" (list "CHOWN")). */ -}}
{{- define "shoal.rootSecurityContext" -}}
runAsNonRoot: false
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: {{ toJson .capabilities }}
{{- with .root.Values.agent.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "shoal.container" -}}
image: {{ include "shoal.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- /* What init containers need is little, and counts only where it is more than the service needs. */ -}}
{{- define "shoal.smallResources" -}}
requests:
  cpu: 10m
  memory: 64Mi
limits:
  memory: 256Mi
{{- end }}

{{- /* A token for the one container that asks the API server; the pod's service account mounts none by itself. */ -}}
{{- define "shoal.apiTokenVolume" -}}
name: api-server-token
projected:
  defaultMode: 292
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3600
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
{{- end }}

{{- define "shoal.apiTokenMount" -}}
name: api-server-token
mountPath: /var/run/secrets/kubernetes.io/serviceaccount
readOnly: true
{{- end }}

{{- define "shoal.client.folder" -}}
{{- get (dict "containerd" "/etc/containerd" "crio" "/etc/containers" "podman" "/etc/containers" "docker" "/etc/docker") .Values.clientConfig.runtime -}}
{{- end }}

{{- /*
The node's folders that install-client and uninstall-client work on: that of the runtime and that of the record. The rest of /etc
is only read: what else containerd reads there, and whether k3s or RKE2 writes containerd's configuration.
*/ -}}
{{- define "shoal.client.volumes" -}}
- name: node-etc
  hostPath:
    path: /etc
    type: Directory
- name: client-config
  hostPath:
    path: {{ include "shoal.client.folder" . }}
    type: DirectoryOrCreate
- name: client-state
  hostPath:
    path: /var/lib/shoal
    type: DirectoryOrCreate
{{- end }}

{{- define "shoal.client.mounts" -}}
- name: node-etc
  mountPath: /host/etc
  readOnly: true
- name: client-config
  mountPath: /host{{ include "shoal.client.folder" . }}
- name: client-state
  mountPath: /host/var/lib/shoal
{{- end }}

{{- /* Writing into folders of other users, and giving files back to them. */ -}}
{{- define "shoal.client.securityContext" -}}
{{- include "shoal.rootSecurityContext" (dict "root" . "capabilities" (list "CHOWN" "DAC_OVERRIDE" "FOWNER")) -}}
{{- end }}

{{- /* Takes (dict "port" "http" "host" "…"): the host where the pod is in the node's network and listens on 127.0.0.1. */ -}}
{{- define "shoal.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
    {{- with .host }}
    host: {{ . }}
    {{- end }}
  # It listens when what is on disk was looked through. Who is not ready for another reason is not begun anew for it.
  periodSeconds: 5
  failureThreshold: 120
  timeoutSeconds: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ .port }}
    {{- with .host }}
    host: {{ . }}
    {{- end }}
  periodSeconds: 10
  timeoutSeconds: 3
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
    {{- with .host }}
    host: {{ . }}
    {{- end }}
  periodSeconds: 15
  failureThreshold: 4
  timeoutSeconds: 5
{{- end }}
