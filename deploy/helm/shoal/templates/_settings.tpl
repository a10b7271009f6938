{{- /* Lines of Shoal's configuration file. Numbers of a values file are floating point, and are not to look like it. */ -}}
{{- define "shoal.settingLines" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if or (kindIs "float64" $value) (kindIs "int64" $value) }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- end }}

{{- /* Settings that the chart makes itself, and the values that it makes them of. */ -}}
{{- define "shoal.ownSettings" -}}
seeder:
  listen: seeder.service.port and listenAddress
  peerListen: seeder.service.peerPort
  data: seeder.persistence
  dataMaxBytes: seeder.dataMaxBytes
  origin: seeder.origin
  hosts: seeder.hosts
  dockerConfig: seeder.dockerConfig.existingSecret
  pullSecrets: seeder.pullSecrets
  apiTokenFile: seeder.apiToken.existingSecret
  eventSecretsFile: seeder.eventSecrets.existingSecret
agent:
  listen: agent.port
  peerListen: agent.peerPort
  seeder: seeder.service
  cache: agent.cache.hostPath
  cacheMaxBytes: agent.cache.maxBytes
  zone: agent.zone.value
  zoneFile: agent.zone.nodeLabel
  name: nothing, agents have the names of their nodes
{{- end }}

{{- define "shoal.seeder.settings" -}}
{{- $seeder := .Values.seeder -}}
{{- $own := dict
  "listen" (printf "%s:%d" .Values.listenAddress (int $seeder.service.port))
  "dataMaxBytes" $seeder.dataMaxBytes
  "hosts" (include "shoal.seeder.hosts" .) -}}
{{- if $seeder.apiToken.existingSecret -}}
{{- $_ := set $own "apiTokenFile" (printf "/run/shoal/api-token/%s" $seeder.apiToken.key) -}}
{{- end -}}
{{- if $seeder.eventSecrets.existingSecret -}}
{{- $_ := set $own "eventSecretsFile" (printf "/run/shoal/event-secrets/%s" $seeder.eventSecrets.key) -}}
{{- end -}}
{{- if $seeder.dockerConfig.existingSecret -}}
{{- $_ := set $own "dockerConfig" (printf "/run/shoal/docker-config/%s" $seeder.dockerConfig.key) -}}
{{- end -}}
{{- $files := list -}}
{{- range $seeder.pullSecrets -}}
{{- $files = append $files (printf "/run/shoal/pull-secrets/%s/.dockerconfigjson" .) -}}
{{- end -}}
{{- if $files -}}
{{- $_ := set $own "pullSecrets" (join "," $files) -}}
{{- end -}}
{{- include "shoal.settingLines" (merge $own $seeder.settings) | trim -}}
{{- end }}

{{- define "shoal.agent.settings" -}}
{{- $agent := .Values.agent -}}
{{- $own := dict
  "listen" (printf "%s:%d" (ternary "127.0.0.1" .Values.listenAddress (eq $agent.network "host")) (int $agent.port))
  "seeder" (printf "http://%s" (include "shoal.seeder.authority" .))
  "cacheMaxBytes" $agent.cache.maxBytes -}}
{{- if $agent.zone.value -}}
{{- $_ := set $own "zone" $agent.zone.value -}}
{{- else if $agent.zone.nodeLabel -}}
{{- $_ := set $own "zoneFile" "/run/shoal/zone/zone" -}}
{{- end -}}
{{- include "shoal.settingLines" (merge $own $agent.settings) | trim -}}
{{- end }}

{{- define "shoal.seeder.origin" -}}
{{- $s3 := .Values.seeder.origin.s3 -}}
{{- if eq .Values.seeder.origin.type "s3" -}}
{{- $query := list -}}
{{- if $s3.endpoint -}}
{{- $query = append $query (printf "endpoint=%s" (urlquery $s3.endpoint)) -}}
{{- end -}}
{{- if $s3.region -}}
{{- $query = append $query (printf "region=%s" (urlquery $s3.region)) -}}
{{- end -}}
{{- if $s3.forcePathStyle -}}
{{- $query = append $query "forcePathStyle=true" -}}
{{- end -}}
{{- printf "s3://%s%s%s" $s3.bucket (ternary (printf "/%s" $s3.prefix) "" (ne $s3.prefix "")) (ternary (printf "?%s" (join "&" $query)) "" (gt (len $query) 0)) -}}
{{- else -}}
/var/lib/shoal/origin
{{- end -}}
{{- end }}
