{{/* Settings files are TOML. Helm's own toToml writes whole numbers as floats, which the settings refuse. */}}
{{- define "carillon.toml.value" -}}
{{- if kindIs "string" . -}}{{ . | toJson }}
{{- else if kindIs "bool" . -}}{{ . }}
{{- else if kindIs "slice" . -}}[{{ range $at, $value := . }}{{ if $at }}, {{ end }}{{ include "carillon.toml.value" $value }}{{ end }}]
{{- else if kindIs "map" . -}}{ {{- range $at, $key := keys . | sortAlpha }}{{ if $at }},{{ end }} {{ $key | quote }} = {{ include "carillon.toml.value" (get $ $key) }}{{ end }} }
{{- else -}}{{ int64 . }}
{{- end -}}
{{- end -}}

{{/* A table: its values, then the tables in it. Arguments: path, table. */}}
{{- define "carillon.toml.table" -}}
{{- $path := .path -}}{{- $table := .table -}}
{{- range $key := keys $table | sortAlpha }}{{ $value := get $table $key }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "carillon.toml.value" $value }}
{{- end }}{{ end }}
{{- range $key := keys $table | sortAlpha }}{{ $value := get $table $key }}
{{- if kindIs "map" $value }}{{ $inner := ternary $key (printf "%s.%s" $path $key) (eq $path "") }}

[{{ $inner }}]
{{- include "carillon.toml.table" (dict "path" $inner "table" $value) }}
{{- end }}{{ end }}
{{- end -}}

{{/* An array of tables, none of which has tables of its own: maps in them are written inline. Arguments: name, tables. */}}
{{- define "carillon.toml.tables" -}}
{{- $name := .name -}}
{{- range $table := .tables }}

[[{{ $name }}]]
{{- range $key := keys $table | sortAlpha }}
{{ $key }} = {{ include "carillon.toml.value" (get $table $key) }}
{{- end }}{{ end }}
{{- end -}}
