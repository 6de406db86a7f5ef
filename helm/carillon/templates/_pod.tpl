{{/* What every pod has. Arguments: root, component, placement (node selector, tolerations, affinity, priority), drain, spread. */}}
{{- define "carillon.pod" -}}
serviceAccountName: {{ include "carillon.serviceAccount" .root }}
automountServiceAccountToken: false
# Addresses of services as variables could be taken for settings.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "carillon.podSecurity" (dict "groups" .groups) | nindent 2 }}
{{- with .drain }}
terminationGracePeriodSeconds: {{ include "carillon.graceSeconds" (dict "root" $.root "drain" .) }}
{{- end }}
{{- with .placement.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .placement.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .spread }}
topologySpreadConstraints:
  {{- range $key, $unsatisfiable := (dict "topology.kubernetes.io/zone" .root.Values.topologySpread.zones "kubernetes.io/hostname" .root.Values.topologySpread.hosts) }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $unsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "carillon.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* As Pod Security `restricted` asks. Files of volumes get the group once, when they are made: changed again at each start, they
would become writable by the group, and private files that are refuse to be read. */}}
{{- define "carillon.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
{{- with .groups }}
supplementalGroups: {{ toJson . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "carillon.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "carillon.environment" -}}
- name: NO_COLOR
  value: "1"
{{- with .Values.logFilter }}
- name: CARILLON_LOG
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Start-up and life: the process answers, which it does before its engines do; its start ends by itself after startSeconds.
Readiness: engines answer, lanes keep what they are given, prices are there, a router is attached, no stop has begun. */}}
{{- define "carillon.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: ops}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: ops}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
lifecycle:
  preStop:
    # Whoever sends here must have heard that this pod goes before it stops taking work.
    sleep: {seconds: {{ .Values.stop.unreadySeconds }}}
{{- end -}}

{{/* A volume with a secret, by Kubernetes or by a CSI driver. Arguments: name, ref (secret, csi). */}}
{{- define "carillon.secretVolume" -}}
- name: {{ .name }}
  {{- if and .ref.csi .ref.csi.secretProviderClass }}
  csi:
    driver: {{ .ref.csi.driver }}
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ .ref.csi.secretProviderClass }}
  {{- else }}
  secret:
    secretName: {{ required (printf "name the secret of `%s`: this chart makes none" .path) .ref.secret.name }}
    defaultMode: 0440
  {{- end }}
{{- end -}}

{{/* What a process needs to reach its engines, as a map of volume names, as JSON. */}}
{{- define "carillon.engineSecrets" -}}
{{- $refs := dict -}}
{{- if or (eq .Values.mode "cluster") .Values.masterKey.secret.name .Values.masterKey.csi.secretProviderClass -}}
{{- $_ := set $refs "master-key" (dict "ref" .Values.masterKey "path" "masterKey.secret.name") -}}
{{- end -}}
{{- if eq .Values.mode "cluster" -}}
{{- range $name, $engine := dict "lanes" .Values.lanes "state" .Values.state -}}
{{- if $engine.user -}}{{- $_ := set $refs (printf "%s-password" $name) (dict "ref" $engine.password "path" (printf "%s.password.secret.name" $name)) -}}{{- end -}}
{{- if and $engine.tls.enabled $engine.tls.ca.secret.name -}}{{- $_ := set $refs (printf "%s-ca" $name) (dict "ref" $engine.tls.ca "path" (printf "%s.tls.ca.secret.name" $name)) -}}{{- end -}}
{{- if and $engine.tls.enabled $engine.tls.client.secret.name -}}{{- $_ := set $refs (printf "%s-client" $name) (dict "ref" $engine.tls.client "path" (printf "%s.tls.client.secret.name" $name)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $refs | toJson -}}
{{- end -}}

{{- define "carillon.engineVolumes" -}}
{{- range $name, $source := include "carillon.engineSecrets" . | fromJson }}
{{ include "carillon.secretVolume" (dict "name" $name "ref" $source.ref "path" $source.path) }}
{{- end }}
{{- end -}}

{{- define "carillon.engineMounts" -}}
{{- range $name, $_ := include "carillon.engineSecrets" . | fromJson }}
- name: {{ $name }}
  mountPath: /etc/carillon/{{ $name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "carillon.annotations" -}}
checksum/settings: {{ .settings | sha256sum }}
{{- with .root.Values.secretsVersion }}
carillon/secrets-version: {{ . | quote }}
{{- end }}
{{- with .root.Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
