{{/* The settings of gateways, routers and of all roles in one process: what the values say, and over it what the chart decides. */}}
{{- define "carillon.settings" -}}
{{- $given := deepCopy .Values.settings -}}
{{- $decided := ternary (include "carillon.settings.embedded" . | fromJson) (include "carillon.settings.cluster" . | fromJson) (eq .Values.mode "all-in-one") -}}
{{- include "carillon.toml.table" (dict "path" "" "table" (mergeOverwrite $given $decided)) | trim }}
{{- end -}}

{{- define "carillon.settings.doors" -}}
{{- $gateway := dict "listen" (printf "%s:8080" .Values.listenAddress) -}}
{{- if include "carillon.gateway.tlsSecret" . -}}
{{- $_ := set $gateway "tls_certificate_file" "/etc/carillon/gateway-tls/tls.crt" -}}
{{- $_ := set $gateway "tls_key_file" "/etc/carillon/gateway-tls/tls.key" -}}
{{- $others := list -}}
{{- range .Values.gateway.tls.others -}}
{{- $others = append $others (dict "certificate" (printf "/etc/carillon/gateway-tls-%s/tls.crt" .name) "key" (printf "/etc/carillon/gateway-tls-%s/tls.key" .name)) -}}
{{- end -}}
{{- with $others -}}{{- $_ := set $gateway "tls_others" . -}}{{- end -}}
{{- end -}}
{{- $gateway | toJson -}}
{{- end -}}

{{- define "carillon.settings.embedded" -}}
{{- $settings := dict "drain_seconds_max" .Values.stop.drainSeconds -}}
{{- $_ := set $settings "lanes" (dict "url" "embedded:") -}}
{{- $_ := set $settings "state" (dict "url" "embedded:") -}}
{{- $_ := set $settings "demo" (dict "enabled" .Values.allInOne.demo.enabled "modems_per_route" .Values.allInOne.demo.modemsPerRoute) -}}
{{- $_ := set $settings "gateway" (include "carillon.settings.doors" . | fromJson) -}}
{{- if or .Values.masterKey.secret.name .Values.masterKey.csi.secretProviderClass -}}
{{- $_ := set $settings "master_key_file" (printf "/etc/carillon/master-key/%s" .Values.masterKey.secret.key) -}}
{{- end -}}
{{- $settings | toJson -}}
{{- end -}}

{{- define "carillon.settings.cluster" -}}
{{- $lanes := .Values.lanes -}}{{- $state := .Values.state -}}
{{- $settings := dict "drain_seconds_max" .Values.stop.drainSeconds "start_seconds_max" .Values.startSeconds -}}
{{- $_ := set $settings "master_key_file" (printf "/etc/carillon/master-key/%s" .Values.masterKey.secret.key) -}}
{{- $_ := set $settings "lanes" (include "carillon.settings.engine" (dict "engine" $lanes "name" "lanes" "url" (printf "kafka://%s/%s" (join "," $lanes.brokers) $lanes.prefix)) | fromJson) -}}
{{- $_ := set $settings.lanes "min_insync_replicas" $lanes.minInSyncReplicas -}}
{{- if $lanes.user -}}{{- $_ := set $settings.lanes "sasl_mechanism" $lanes.saslMechanism -}}{{- end -}}
{{- $_ := set $settings "state" (include "carillon.settings.engine" (dict "engine" $state "name" "state" "url" (printf "cql://%s/%s" (join "," $state.nodes) $state.keyspace)) | fromJson) -}}
{{- with $state.localDatacenter -}}{{- $_ := set $settings.state "local_datacenter" . -}}{{- end -}}
{{- $_ := set $settings "gateway" (include "carillon.settings.doors" . | fromJson) -}}
{{- $control := dict "enabled" true "listen" (printf "%s:7070" .Values.listenAddress) -}}
{{- $_ := set $control "certificate_file" "/etc/carillon/router-tls/tls.crt" -}}
{{- $_ := set $control "key_file" "/etc/carillon/router-tls/tls.key" -}}
{{- $_ := set $control "farm_ca_file" "/etc/carillon/router-tls/ca.crt" -}}
{{- $router := dict "control" $control -}}
{{- if or .Values.smsRouter.priceDeck.configMap .Values.smsRouter.priceDeck.claim -}}
{{- $_ := set $router "price_deck_file" (printf "/etc/carillon/deck/%s" .Values.smsRouter.priceDeck.file) -}}
{{- end -}}
{{- $_ := set $settings "sms_router" $router -}}
{{- $settings | toJson -}}
{{- end -}}

{{/* What lanes and state have in common. Arguments: engine, name, url. */}}
{{- define "carillon.settings.engine" -}}
{{- $table := dict "url" .url "replication" .engine.replication -}}
{{- if .engine.user -}}
{{- $_ := set $table "user" .engine.user -}}
{{- $_ := set $table "password_file" (printf "/etc/carillon/%s-password/%s" .name .engine.password.secret.key) -}}
{{- end -}}
{{- if .engine.tls.enabled -}}
{{- $_ := set $table "tls" true -}}
{{- if .engine.tls.ca.secret.name -}}
{{- $_ := set $table "ca_file" (printf "/etc/carillon/%s-ca/%s" .name .engine.tls.ca.secret.key) -}}
{{- end -}}
{{- if .engine.tls.client.secret.name -}}
{{- $_ := set $table "certificate_file" (printf "/etc/carillon/%s-client/tls.crt" .name) -}}
{{- $_ := set $table "key_file" (printf "/etc/carillon/%s-client/tls.key" .name) -}}
{{- end -}}
{{- end -}}
{{- $table | toJson -}}
{{- end -}}

{{/* A farm's settings. Arguments: root, farm, paths (where its files are: etc, journal). */}}
{{- define "carillon.settings.farm" -}}
{{- $root := .root -}}{{- $farm := .farm -}}{{- $etc := .etc -}}
{{- $table := deepCopy $farm.settings -}}
{{- $_ := set $table "name" $farm.name -}}
{{- $_ := set $table "journal_dir" .journal -}}
{{- $_ := set $table "drain_seconds_max" $farm.drainSeconds -}}
{{- $_ := set $table "ca_file" (printf "%s/tls/ca.crt" $etc) -}}
{{- $_ := set $table "certificate_file" (printf "%s/tls/tls.crt" $etc) -}}
{{- $_ := set $table "key_file" (printf "%s/tls/tls.key" $etc) -}}
{{- $_ := set $table "routers" (default (list (include "carillon.router.address" $root)) $farm.routers) -}}
{{- include "carillon.toml.table" (dict "path" "" "table" $table) | trim }}
{{- $links := list -}}
{{- range $farm.links -}}
{{- $link := omit . "pinSecret" -}}
{{- with .pinSecret -}}{{- $_ := set $link "pin_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- $links = append $links $link -}}
{{- end -}}
{{- include "carillon.toml.tables" (dict "name" "links" "tables" $links) }}
{{- $suppliers := list -}}
{{- range $farm.smpp -}}
{{- $supplier := omit . "passwordSecret" "caSecret" "clientSecret" -}}
{{- with .passwordSecret -}}{{- $_ := set $supplier "password_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .caSecret -}}{{- $_ := set $supplier "ca_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .clientSecret -}}
{{- $_ := set $supplier "certificate_file" (printf "%s/%s/tls.crt" $etc .name) -}}
{{- $_ := set $supplier "key_file" (printf "%s/%s/tls.key" $etc .name) -}}
{{- end -}}
{{- $suppliers = append $suppliers $supplier -}}
{{- end -}}
{{- include "carillon.toml.tables" (dict "name" "smpp" "tables" $suppliers) }}
{{- $relays := list -}}
{{- range $farm.mm7 -}}
{{- $relay := omit . "passwordSecret" "caSecret" "clientSecret" "reportPasswordSecret" -}}
{{- with .passwordSecret -}}{{- $_ := set $relay "password_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .reportPasswordSecret -}}{{- $_ := set $relay "report_password_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .caSecret -}}{{- $_ := set $relay "ca_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .clientSecret -}}
{{- $_ := set $relay "certificate_file" (printf "%s/%s/tls.crt" $etc .name) -}}
{{- $_ := set $relay "key_file" (printf "%s/%s/tls.key" $etc .name) -}}
{{- end -}}
{{- $relays = append $relays $relay -}}
{{- end -}}
{{- include "carillon.toml.tables" (dict "name" "mm7" "tables" $relays) }}
{{- $services := list -}}
{{- range $farm.http -}}
{{- $service := omit . "querySecret" "passwordSecret" "tokenSecret" "caSecret" "clientSecret" -}}
{{- with .querySecret -}}{{- $_ := set $service "query_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .passwordSecret -}}{{- $_ := set $service "password_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .tokenSecret -}}{{- $_ := set $service "token_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .caSecret -}}{{- $_ := set $service "ca_file" (printf "%s/%s/%s" $etc .name .key) -}}{{- end -}}
{{- with .clientSecret -}}
{{- $_ := set $service "certificate_file" (printf "%s/%s/tls.crt" $etc .name) -}}
{{- $_ := set $service "key_file" (printf "%s/%s/tls.key" $etc .name) -}}
{{- end -}}
{{- $services = append $services $service -}}
{{- end -}}
{{- include "carillon.toml.tables" (dict "name" "http" "tables" $services) }}
{{- if $farm.reports.enabled }}

[reports]
listen = "{{ $root.Values.listenAddress }}:8007"
{{- with $farm.reports.tls.secret.name }}
certificate_file = "{{ $etc }}/{{ . }}/tls.crt"
key_file = "{{ $etc }}/{{ . }}/tls.key"
{{- end }}
{{- end }}
{{- end -}}

{{/* A farm's values with what they leave out. Arguments: root, farm. */}}
{{- define "carillon.farm" -}}
{{- mergeOverwrite (deepCopy .root.Values.farmDefaults) (deepCopy .farm) | toJson -}}
{{- end -}}

{{/* Every secret a farm's links name, once each, as JSON. */}}
{{- define "carillon.farm.secrets" -}}
{{- $names := list -}}
{{- range .links -}}{{- with .pinSecret -}}{{- $names = append $names .name -}}{{- end -}}{{- end -}}
{{- range concat .smpp .mm7 .http -}}
{{- range (list .passwordSecret .caSecret .clientSecret .reportPasswordSecret .querySecret .tokenSecret) -}}{{- with . -}}{{- $names = append $names .name -}}{{- end -}}{{- end -}}
{{- end -}}
{{- if .reports.enabled -}}{{- with .reports.tls.secret.name -}}{{- $names = append $names . -}}{{- end -}}{{- end -}}
{{- dict "names" ($names | uniq | sortAlpha) | toJson -}}
{{- end -}}
