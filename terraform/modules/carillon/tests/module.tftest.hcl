# What the module makes of its inputs, without a cluster and without a cloud.

mock_provider "helm" {}
mock_provider "kubectl" {}
mock_provider "kubernetes" {}

variables {
  chart      = "../../../helm/carillon"
  image      = { repository = "registry.example.com/carillon", tag = "0.1.0" }
  master_key = "00000000000000000000000000000000ffffffffffffffffffffffffffffffff"
}

run "everything_is_made_by_default" {
  command = plan

  assert {
    condition     = kubernetes_namespace.carillon.metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "The namespace must enforce Pod Security `restricted`."
  }
  assert {
    condition     = yamldecode(helm_release.carillon.values[0]).lanes.minInSyncReplicas == 2
    error_message = "Of three copies two must have a record."
  }
  assert {
    condition     = yamldecode(kubectl_manifest.kafka[0].yaml_body).spec.kafka.config["unclean.leader.election.enable"] == false
    error_message = "An unclean leader loses what was acknowledged."
  }
  assert {
    condition     = length(yamldecode(kubectl_manifest.scylla[0].yaml_body).spec.datacenter.racks) == 3
    error_message = "Three racks by default."
  }
  assert {
    condition     = output.lanes_url == "kafka://kafka-kafka-bootstrap.kafka.svc:9093/carillon"
    error_message = "The lanes' address: ${output.lanes_url}"
  }
}

run "engines_that_are_there_are_used" {
  command = plan
  variables {
    kafka  = { make = false, cluster = "shared", namespace = "kafka" }
    scylla = { make = false, nodes = ["db-1.example:9042", "db-2.example:9042"] }
  }

  assert {
    condition     = length(kubectl_manifest.kafka) == 0 && length(kubectl_manifest.scylla) == 0
    error_message = "No engine is to be made."
  }
  assert {
    condition     = output.state_url == "cql://db-1.example:9042,db-2.example:9042/carillon"
    error_message = "The state's address: ${output.state_url}"
  }
}

run "a_single_broker_keeps_one_copy" {
  command = plan
  variables {
    kafka = { brokers = 1 }
  }

  assert {
    condition     = yamldecode(helm_release.carillon.values[0]).lanes.replication == 1
    error_message = "One broker, one copy."
  }
}

run "latest_is_refused" {
  command = plan
  variables {
    image = { repository = "carillon", tag = "latest" }
  }
  expect_failures = [var.image]
}

run "a_short_key_is_refused" {
  command = plan
  variables {
    master_key = "1234"
  }
  expect_failures = [var.master_key]
}

run "two_brokers_are_refused" {
  command = plan
  variables {
    kafka = { brokers = 2 }
  }
  expect_failures = [var.kafka]
}

run "a_database_that_nobody_names_is_refused" {
  command = plan
  variables {
    scylla = { make = false }
  }
  expect_failures = [var.scylla]
}
