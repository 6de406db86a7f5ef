variable "name" {
  description = "The release's name, and what its objects' names begin with."
  type        = string
  default     = "carillon"

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "The name has 1 to 40 characters: a-z, 0-9 and -, and begins with a letter."
  }
}

variable "namespace" {
  description = "The namespace of the release. It is made, under Pod Security `restricted`."
  type        = string
  default     = "carillon"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace)) && !startswith(var.namespace, "kube-")
    error_message = "The namespace is a name of its own: a-z, 0-9 and -, and does not begin with kube-."
  }
}

variable "chart" {
  description = "The chart: a folder, a packaged chart, or its address in an OCI registry."
  type        = string
}

variable "image" {
  description = "The image. A digest wins over a tag, and nobody can put another image in its place."
  type = object({
    repository = string
    tag        = optional(string, "")
    digest     = optional(string, "")
  })

  validation {
    condition     = var.image.tag != "latest" && (var.image.digest == "" || can(regex("^sha256:[0-9a-f]{64}$", var.image.digest)))
    error_message = "The tag must not be `latest`, and a digest is `sha256:` and 64 hexadecimal digits."
  }
}

variable "master_key" {
  description = "The installation's secret, 64 hexadecimal digits (`openssl rand -hex 32`). Keep a copy: without it nothing that is sealed can be read. Empty: the secret `master_key_secret` is there already."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.master_key == "" || can(regex("^[0-9a-f]{64}$", var.master_key))
    error_message = "The master key has 64 hexadecimal digits."
  }
}

variable "master_key_secret" {
  description = "The secret with the master key, under `master.key`. It is made if `master_key` is given."
  type        = string
  default     = "carillon-master-key"
}

variable "secrets" {
  description = "Further secrets by name, each a map of keys and texts: passwords of suppliers and engines."
  type        = map(map(string))
  default     = {}
  sensitive   = true
}

variable "kafka" {
  description = "Kafka by Strimzi. `make`: the module makes the cluster; else one of this name is there, in this namespace. `topics`: a word of a new installation's own, by which Strimzi makes the topics of the lanes that every installation has; it never changes. Empty: Carillon makes them, as it makes those of routes."
  type = object({
    make       = optional(bool, true)
    cluster    = optional(string, "kafka")
    namespace  = optional(string, "kafka")
    version    = optional(string, "4.1.0")
    brokers    = optional(number, 3)
    disk       = optional(string, "100Gi")
    disk_class = optional(string, "")
    prefix     = optional(string, "carillon")
    user       = optional(string, "carillon")
    topics     = optional(string, "")
  })
  default = {}

  validation {
    condition     = can(regex("^[a-z0-9-]{0,40}$", var.kafka.topics))
    error_message = "The word for the topics has up to 40 characters: a-z, 0-9 and -."
  }
  validation {
    condition     = var.kafka.brokers == 1 || var.kafka.brokers >= 3
    error_message = "One broker to try it out, three or more to survive the loss of one."
  }
  validation {
    condition     = can(regex("^[0-9]+(Gi|Ti)$", var.kafka.disk))
    error_message = "The disk's size is a number and Gi or Ti."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9._-]{1,40}$", var.kafka.prefix))
    error_message = "The prefix has 1 to 40 characters of those a topic may have."
  }
}

variable "scylla" {
  description = "ScyllaDB by its operator. `make`: the module makes the cluster; else `nodes` are its addresses."
  type = object({
    make       = optional(bool, true)
    cluster    = optional(string, "scylla")
    namespace  = optional(string, "scylla")
    version    = optional(string, "2025.1.0")
    datacenter = optional(string, "dc1")
    racks      = optional(list(string), ["a", "b", "c"])
    members    = optional(number, 1)
    cpu        = optional(string, "2")
    memory     = optional(string, "8Gi")
    disk       = optional(string, "100Gi")
    disk_class = optional(string, "")
    nodes      = optional(list(string), [])
    keyspace   = optional(string, "carillon")
  })
  default = {}

  validation {
    condition     = var.scylla.make || length(var.scylla.nodes) > 0
    error_message = "Name the nodes of the database, or let the module make one."
  }
  validation {
    condition     = !var.scylla.make || length(var.scylla.racks) * var.scylla.members >= 1
    error_message = "A cluster has at least one member in at least one rack."
  }
}

variable "values" {
  description = "Further values of the chart, as YAML; the later wins, and all win over the module's."
  type        = list(string)
  default     = []
}

variable "timeout_seconds" {
  description = "How long an installation may take."
  type        = number
  default     = 900

  validation {
    condition     = var.timeout_seconds >= 60
    error_message = "A start waits for engines: give it a minute at least."
  }
}
