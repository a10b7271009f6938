{{- /* What values.schema.json cannot say: values that do not go together. Comes to nothing, or fails. */ -}}
{{- define "shoal.check" -}}
{{- $seeder := .Values.seeder -}}
{{- $_ := include "shoal.image" . -}}
{{- range $service, $settings := include "shoal.ownSettings" . | fromYaml -}}
{{- range $key, $value := $settings -}}
{{- if hasKey (get (get $.Values $service) "settings") $key -}}
{{- fail (printf "%s.settings.%s is made by the chart: set %s" $service $key $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $seeder.origin.type "s3" -}}
{{- if not $seeder.origin.s3.bucket -}}
{{- fail "seeder.origin.s3.bucket is required with seeder.origin.type s3" -}}
{{- end -}}
{{- else -}}
{{- if $seeder.origin.s3.bucket -}}
{{- fail "seeder.origin.s3.bucket is set, and seeder.origin.type is filesystem: set the type to s3, or leave the bucket out" -}}
{{- end -}}
{{- if gt (int $seeder.replicas) 1 -}}
{{- fail (printf "seeder.replicas is %d, and seeder.origin.type is filesystem: a folder belongs to one seeder; set seeder.origin.type to s3, or seeder.replicas to 1" (int $seeder.replicas)) -}}
{{- end -}}
{{- if not $seeder.persistence.enabled -}}
{{- fail "seeder.persistence.enabled is false, and seeder.origin.type is filesystem: images would be lost with the pod" -}}
{{- end -}}
{{- end -}}
{{- if and $seeder.ingress.enabled (not $seeder.ingress.host) -}}
{{- fail "seeder.ingress.host is required with seeder.ingress.enabled" -}}
{{- end -}}
{{- if eq (int $seeder.service.port) (int $seeder.service.peerPort) -}}
{{- fail "seeder.service.port and seeder.service.peerPort are the same" -}}
{{- end -}}
{{- if eq (int .Values.agent.port) (int .Values.agent.peerPort) -}}
{{- fail "agent.port and agent.peerPort are the same" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (eq .Values.agent.network "host") (not .Values.networkPolicy.nodeCidrs) -}}
{{- fail "networkPolicy.nodeCidrs is required with networkPolicy.enabled and agent.network host: agents come from the addresses of their nodes" -}}
{{- end -}}
{{- end }}
