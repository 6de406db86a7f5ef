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
    condition     = length(kubectl_manifest.kafka_topic) == 0
    error_message = "Topics are Carillon's, unless Strimzi is asked for them."
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

run "strimzi_makes_the_topics_if_it_is_asked" {
  command = plan
  variables {
    kafka = { topics = "autumn" }
  }

  assert {
    condition     = length(kubectl_manifest.kafka_topic) == 10
    error_message = "A topic for each lane that every installation has."
  }
  assert {
    condition = alltrue([for topic in kubectl_manifest.kafka_topic : alltrue([
      for half in ["delete.retention.ms", "max.compaction.lag.ms"] :
      can(regex("^[0-9]{19}$", yamldecode(topic.yaml_body).spec.config[half]))
      && yamldecode(topic.yaml_body).spec.config[half] >= "4611686018427387904"
      && yamldecode(topic.yaml_body).spec.config[half] < "9223372036854775807"
    ])])
    error_message = "A lane's id is two numbers from 2^62 on, in full."
  }
  assert {
    condition     = length(distinct([for topic in kubectl_manifest.kafka_topic : yamldecode(topic.yaml_body).spec.config])) == 10
    error_message = "No two lanes have one id."
  }
  assert {
    condition     = yamldecode(kubectl_manifest.kafka_topic["accepted"].yaml_body).spec.topicName == "carillon.accepted"
    error_message = "Topics are named as lanes are, below the prefix."
  }
  assert {
    condition     = length([for rule in yamldecode(kubectl_manifest.kafka_user.yaml_body).spec.authorization.acls : rule if try(rule.type, "") == "deny"]) == 10
    error_message = "Carillon must not make them before Strimzi does."
  }
  assert {
    condition     = contains(keys(yamldecode(kubectl_manifest.kafka[0].yaml_body).spec.entityOperator), "topicOperator")
    error_message = "Strimzi needs its operator for topics."
  }
}

run "a_word_for_topics_is_a_word" {
  command = plan
  variables {
    kafka = { topics = "Two words" }
  }
  expect_failures = [var.kafka]
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
