output "namespace" {
  description = "The namespace of the release."
  value       = kubernetes_namespace.carillon.metadata[0].name
}

output "release" {
  description = "The release's name."
  value       = helm_release.carillon.name
}

output "doors" {
  description = "Where the public doors are inside the cluster, host and port."
  value       = "${var.name}-gateway.${var.namespace}.svc:8080"
}

output "farm_link" {
  description = "Where farms inside the cluster attach, host and port."
  value       = "${var.name}-sms-router.${var.namespace}.svc:7070"
}

output "lanes_url" {
  description = "The lanes, as `carillon` takes them (`CARILLON_LANES__URL`)."
  value       = "kafka://${local.kafka_bootstrap}/${var.kafka.prefix}"
}

output "state_url" {
  description = "The state, as `carillon` takes it (`CARILLON_STATE__URL`)."
  value       = "cql://${join(",", local.scylla_nodes)}/${var.scylla.keyspace}"
}

output "secrets_to_copy" {
  description = "Secrets that Strimzi makes in its namespace and that must be in the release's, too (a reflector does it)."
  value       = var.kafka.namespace == var.namespace ? [] : [var.kafka.user, "${var.kafka.cluster}-cluster-ca-cert"]
}
