{{- /* Some clusters (GKE) keep the system's priority classes to namespaces that have a quota for them; elsewhere it limits nothing. */ -}}
{{- define "shoal.quotaSpec" -}}
hard:
  pods: 1G
scopeSelector:
  matchExpressions:
    - scopeName: PriorityClass
      operator: In
      values: [{{ .Values.agent.priorityClassName }}]
{{- end }}
