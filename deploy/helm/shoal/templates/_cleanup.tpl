{{- /* When it runs, and that nothing of it stays. Takes (dict "weight" 0). */ -}}
{{- define "shoal.cleanup.hook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
