{{- define "shoal.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- /* Short enough for what is put behind it, and for the labels that Kubernetes makes of pod names. */ -}}
{{- define "shoal.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "shoal.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "shoal.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* Takes (dict "root" $ "component" "seeder"), as all that have labels do. */ -}}
{{- define "shoal.selectorLabels" -}}
app.kubernetes.io/name: {{ include "shoal.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "shoal.labels" -}}
{{ include "shoal.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "shoal.image" -}}
{{- $repository := required "image.repository is required: Shoal's image is not published anywhere; build it with deploy/Dockerfile, push it to a registry of yours, and name that here" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "shoal.seeder.host" -}}
{{- printf "%s-seeder.%s.svc" (include "shoal.fullname" .) .Release.Namespace -}}
{{- end }}

{{- define "shoal.seeder.authority" -}}
{{- printf "%s:%d" (include "shoal.seeder.host" .) (int .Values.seeder.service.port) -}}
{{- end }}

{{- /* What a client may call the seeder, separated by commas. */ -}}
{{- define "shoal.seeder.hosts" -}}
{{- $port := int .Values.seeder.service.port -}}
{{- $service := printf "%s-seeder" (include "shoal.fullname" .) -}}
{{- $hosts := list -}}
{{- range list $service (printf "%s.%s" $service .Release.Namespace) (include "shoal.seeder.host" .) (printf "%s.cluster.local" (include "shoal.seeder.host" .)) -}}
{{- $hosts = append $hosts (printf "%s:%d" . $port) -}}
{{- end -}}
{{- if .Values.seeder.ingress.enabled -}}
{{- $hosts = append $hosts .Values.seeder.ingress.host -}}
{{- end -}}
{{- concat $hosts .Values.seeder.hosts | uniq | join "," -}}
{{- end }}

{{- /* What install-client is given: where nothing is said, all that the seeder has and may have. */ -}}
{{- define "shoal.client.registries" -}}
{{- if .Values.clientConfig.registries -}}
{{- join "," .Values.clientConfig.registries -}}
{{- else -}}
{{- $registries := list (printf "%s=http://%s" (include "shoal.seeder.authority" .) (include "shoal.seeder.authority" .)) -}}
{{- with .Values.seeder.ingress -}}
{{- if .enabled -}}
{{- $registries = append $registries (ternary .host (printf "%s=http://%s" .host .host) (ne .tls.secretName "")) -}}
{{- end -}}
{{- end -}}
{{- with .Values.seeder.settings.upstreams -}}
{{- $registries = append $registries . -}}
{{- end -}}
{{- join "," $registries -}}
{{- end -}}
{{- end }}
