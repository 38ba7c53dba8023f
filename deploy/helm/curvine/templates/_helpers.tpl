{{- define "curvine.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "curvine.labels" -}}
app.kubernetes.io/name: curvine
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "curvine.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "curvine.masterHost" -}}
{{ include "curvine.name" . }}-master-0.{{ include "curvine.name" . }}-master.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "curvine.pod" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
{{- end -}}

{{- define "curvine.volumes" -}}
- name: config
  configMap:
    name: {{ include "curvine.name" . }}
{{- with .Values.auth.existingSecret }}
- name: token
  secret:
    secretName: {{ . }}
    defaultMode: 0400
{{- end }}
{{- end -}}

{{- define "curvine.mounts" -}}
- name: config
  mountPath: /etc/curvine
  readOnly: true
{{- if .Values.auth.existingSecret }}
- name: token
  mountPath: /etc/curvine-token
  readOnly: true
{{- end }}
{{- end -}}
