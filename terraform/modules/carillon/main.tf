# The release with what it stands on: its namespace, secrets, Kafka with a user, ScyllaDB. The operators of both (Strimzi, Scylla)
# and cert-manager are the cluster's, and are there already.

locals {
  labels = {
    "app.kubernetes.io/part-of"    = "carillon"
    "app.kubernetes.io/managed-by" = "terraform"
  }
  kafka_bootstrap = "${var.kafka.cluster}-kafka-bootstrap.${var.kafka.namespace}.svc:9093"
  scylla_nodes    = var.scylla.make ? ["${var.scylla.cluster}-client.${var.scylla.namespace}.svc:9042"] : var.scylla.nodes
  copies          = min(var.kafka.brokers, 3)
  scylla_members  = length(var.scylla.racks) * var.scylla.members
  # The lanes every installation has, and what keeps one: those of routes come with the routes, and Carillon makes them.
  topics = jsondecode(file("${path.module}/topics.json"))
  # By Strimzi, if it is to make them.
  strimzi_topics = var.kafka.topics == "" ? {} : local.topics.partitions
  # From here on a number is half of a lane's id, and no setting anybody would choose.
  id_min = 4611686018427387904
  secrets = merge(
    var.secrets,
    var.master_key == "" ? {} : { (var.master_key_secret) = { "master.key" = var.master_key } },
  )
}

resource "kubernetes_namespace" "carillon" {
  metadata {
    name = var.namespace
    labels = merge(local.labels, {
      "pod-security.kubernetes.io/enforce" = "restricted"
    })
  }
}

# The names are no secrets, and `for_each` must know them.
resource "kubernetes_secret" "carillon" {
  for_each = nonsensitive(toset(keys(local.secrets)))

  metadata {
    name      = each.key
    namespace = kubernetes_namespace.carillon.metadata[0].name
    labels    = local.labels
  }
  data = local.secrets[each.key]
}

resource "kubernetes_namespace" "kafka" {
  count = var.kafka.make && var.kafka.namespace != var.namespace ? 1 : 0

  metadata {
    name   = var.kafka.namespace
    labels = local.labels
  }
}

resource "kubectl_manifest" "kafka_nodes" {
  count = var.kafka.make ? 1 : 0

  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1beta2"
    kind       = "KafkaNodePool"
    metadata = {
      name      = "${var.kafka.cluster}-nodes"
      namespace = var.kafka.namespace
      labels    = merge(local.labels, { "strimzi.io/cluster" = var.kafka.cluster })
    }
    spec = {
      replicas = var.kafka.brokers
      roles    = ["controller", "broker"]
      storage = merge(
        { type = "persistent-claim", size = var.kafka.disk, deleteClaim = false },
        var.kafka.disk_class == "" ? {} : { class = var.kafka.disk_class },
      )
    }
  })

  depends_on = [kubernetes_namespace.kafka]
}

resource "kubectl_manifest" "kafka" {
  count = var.kafka.make ? 1 : 0

  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1beta2"
    kind       = "Kafka"
    metadata = {
      name        = var.kafka.cluster
      namespace   = var.kafka.namespace
      labels      = local.labels
      annotations = { "strimzi.io/kraft" = "enabled", "strimzi.io/node-pools" = "enabled" }
    }
    spec = {
      kafka = {
        version = var.kafka.version
        listeners = [{
          name           = "tls"
          port           = 9093
          type           = "internal"
          tls            = true
          authentication = { type = "scram-sha-512" }
        }]
        authorization = { type = "simple" }
        # What a majority has in its page caches is kept: the loss of any one broker loses nothing.
        config = {
          "default.replication.factor"               = local.copies
          "min.insync.replicas"                      = max(local.copies - 1, 1)
          "offsets.topic.replication.factor"         = local.copies
          "transaction.state.log.replication.factor" = local.copies
          "transaction.state.log.min.isr"            = max(local.copies - 1, 1)
          "unclean.leader.election.enable"           = false
          "auto.create.topics.enable"                = false
        }
      }
      entityOperator = merge({ userOperator = {} }, var.kafka.topics == "" ? {} : { topicOperator = {} })
    }
  })

  depends_on = [kubectl_manifest.kafka_nodes]
}

# A lane is known by two numbers in its topic's settings. They come of a word, so that Strimzi finds nothing to mend, and a topic that
# is made again under another word is another lane.
resource "kubectl_manifest" "kafka_topic" {
  for_each = local.strimzi_topics

  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1beta2"
    kind       = "KafkaTopic"
    metadata = {
      name      = "${replace(lower(var.kafka.prefix), "_", "-")}.${each.key}"
      namespace = var.kafka.namespace
      labels    = merge(local.labels, { "strimzi.io/cluster" = var.kafka.cluster })
    }
    spec = {
      topicName  = "${var.kafka.prefix}.${each.key}"
      partitions = each.value
      replicas   = local.copies
      config = merge(
        local.topics.config,
        { "min.insync.replicas" = tostring(max(local.copies - 1, 1)) },
        { for setting in local.topics.id : setting => format("%d",
        local.id_min + parseint(substr(sha256("${var.kafka.topics}/${var.kafka.prefix}.${each.key}/${setting}"), 0, 15), 16)) },
      )
    }
  })

  depends_on = [kubectl_manifest.kafka]
}

resource "kubectl_manifest" "kafka_user" {
  yaml_body = yamlencode({
    apiVersion = "kafka.strimzi.io/v1beta2"
    kind       = "KafkaUser"
    metadata = {
      name      = var.kafka.user
      namespace = var.kafka.namespace
      labels    = merge(local.labels, { "strimzi.io/cluster" = var.kafka.cluster })
    }
    spec = {
      authentication = { type = "scram-sha-512" }
      authorization = {
        type = "simple"
        # Everything below the prefix, and nothing else; of the cluster only what tells whether it keeps its promises.
        # What Strimzi is to make nobody makes before it: that would be another lane.
        acls = concat([for lane in keys(local.strimzi_topics) : {
          type       = "deny"
          resource   = { type = "topic", name = "${var.kafka.prefix}.${lane}", patternType = "literal" }
          operations = ["Create"]
          }], [
          {
            resource   = { type = "topic", name = "${var.kafka.prefix}.", patternType = "prefix" }
            operations = ["All"]
          },
          {
            resource   = { type = "group", name = var.kafka.prefix, patternType = "prefix" }
            operations = ["All"]
          },
          {
            resource   = { type = "transactionalId", name = var.kafka.prefix, patternType = "prefix" }
            operations = ["All"]
          },
          {
            resource   = { type = "cluster" }
            operations = ["Describe", "DescribeConfigs", "IdempotentWrite"]
          },
        ])
      }
      # The password goes where the pods are.
      template = {
        secret = { metadata = { labels = local.labels } }
      }
    }
  })

  depends_on = [kubectl_manifest.kafka]
}

resource "kubernetes_namespace" "scylla" {
  count = var.scylla.make && var.scylla.namespace != var.namespace ? 1 : 0

  metadata {
    name   = var.scylla.namespace
    labels = local.labels
  }
}

resource "kubectl_manifest" "scylla" {
  count = var.scylla.make ? 1 : 0

  yaml_body = yamlencode({
    apiVersion = "scylla.scylladb.com/v1"
    kind       = "ScyllaCluster"
    metadata = {
      name      = var.scylla.cluster
      namespace = var.scylla.namespace
      labels    = local.labels
    }
    spec = {
      version    = var.scylla.version
      repository = "docker.io/scylladb/scylla"
      datacenter = {
        name = var.scylla.datacenter
        racks = [for rack in var.scylla.racks : {
          name    = rack
          members = var.scylla.members
          storage = merge(
            { capacity = var.scylla.disk },
            var.scylla.disk_class == "" ? {} : { storageClassName = var.scylla.disk_class },
          )
          resources = {
            requests = { cpu = var.scylla.cpu, memory = var.scylla.memory }
            limits   = { cpu = var.scylla.cpu, memory = var.scylla.memory }
          }
        }]
      }
    }
  })

  depends_on = [kubernetes_namespace.scylla]
}

resource "helm_release" "carillon" {
  name      = var.name
  namespace = kubernetes_namespace.carillon.metadata[0].name
  chart     = var.chart
  timeout   = var.timeout_seconds
  wait      = true

  values = concat([yamlencode({
    fullnameOverride = var.name
    image            = var.image
    masterKey        = { secret = { name = var.master_key_secret } }
    lanes = {
      brokers           = [local.kafka_bootstrap]
      prefix            = var.kafka.prefix
      replication       = local.copies
      minInSyncReplicas = max(local.copies - 1, 1)
      user              = var.kafka.user
      password          = { secret = { name = var.kafka.user } }
      tls = {
        enabled = true
        ca      = { secret = { name = "${var.kafka.cluster}-cluster-ca-cert" } }
      }
    }
    state = {
      nodes           = local.scylla_nodes
      keyspace        = var.scylla.keyspace
      replication     = min(local.scylla_members, 3)
      localDatacenter = var.scylla.make ? var.scylla.datacenter : ""
    }
  })], var.values)

  depends_on = [
    kubernetes_secret.carillon, kubectl_manifest.kafka_topic, kubectl_manifest.kafka_user, kubectl_manifest.scylla,
  ]
}
