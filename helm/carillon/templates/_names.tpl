{{/* What everything is called. A StatefulSet may have 52 characters; the longest suffix needs 22 of them. */}}
{{- define "carillon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 30 | trimSuffix "-" -}}
{{- end -}}

{{- define "carillon.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- else if contains (include "carillon.name" .) .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "carillon.name" .) | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors are made of them. Arguments: root, component. */}}
{{- define "carillon.selector" -}}
app.kubernetes.io/name: {{ include "carillon.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "carillon.labels" -}}
{{ include "carillon.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: carillon
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "carillon.serviceAccount" -}}
{{- default (include "carillon.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* A digest wins over a tag; the tag of the chart's own version is the default, and "latest" is refused by the schema. */}}
{{- define "carillon.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Where gateways are reached from inside, by whichever of the two modes there is. */}}
{{- define "carillon.doors" -}}
{{- $scheme := ternary "https" "http" (ne (include "carillon.gateway.tlsSecret" .) "") -}}
{{- printf "%s://%s.%s.svc:%d" $scheme (include "carillon.doorsService" .) .Release.Namespace (int .Values.gateway.service.port) -}}
{{- end -}}

{{- define "carillon.doorsService" -}}
{{- printf "%s-%s" (include "carillon.fullname" .) (ternary "all-in-one" "gateway" (eq .Values.mode "all-in-one")) -}}
{{- end -}}

{{/* The secret with the doors' certificate; empty: they speak plain HTTP. */}}
{{- define "carillon.gateway.tlsSecret" -}}
{{- if .Values.gateway.tls.certManager.enabled -}}
{{- printf "%s-gateway-tls" (include "carillon.fullname" .) -}}
{{- else -}}
{{- .Values.gateway.tls.secret.name -}}
{{- end -}}
{{- end -}}

{{/* The secret with the certificate that routers show to farms, and the authority that farms' certificates are of. */}}
{{- define "carillon.router.tlsSecret" -}}
{{- if .Values.certManager.farmLink.enabled -}}
{{- printf "%s-sms-router-tls" (include "carillon.fullname" .) -}}
{{- else -}}
{{- .Values.smsRouter.control.tls.secret.name -}}
{{- end -}}
{{- end -}}

{{/* The secret with a farm's certificate. Arguments: root, farm. */}}
{{- define "carillon.farm.tlsSecret" -}}
{{- if .root.Values.certManager.farmLink.enabled -}}
{{- printf "%s-farm-%s-tls" (include "carillon.fullname" .root) (.farm.name) -}}
{{- else -}}
{{- .farm.tls.secret.name -}}
{{- end -}}
{{- end -}}

{{- define "carillon.router.headless" -}}
{{- printf "%s-sms-router-pods" (include "carillon.fullname" .) -}}
{{- end -}}

{{/* Where a farm inside the cluster finds its first router. */}}
{{- define "carillon.router.address" -}}
{{- printf "%s-sms-router.%s.svc:7070" (include "carillon.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* How long the kubelet waits before it kills: the sleep, the drain, and a little for the last words. */}}
{{- define "carillon.graceSeconds" -}}
{{- add (int .root.Values.stop.unreadySeconds) (int .drain) 10 -}}
{{- end -}}
