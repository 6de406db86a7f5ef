# Carillon on a cluster of Google's, with its disks and its load balancer.

terraform {
  required_providers {
    google     = { source = "hashicorp/google", version = ">= 5.0" }
    helm       = { source = "hashicorp/helm", version = ">= 1.3" }
    kubectl    = { source = "gavinbunney/kubectl", version = ">= 1.14" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 1.13" }
  }
}

variable "project" {
  description = "The project of the cluster."
  type        = string
}

variable "location" {
  description = "The region, or zone, of the cluster."
  type        = string
}

data "google_client_config" "this" {}

data "google_container_cluster" "this" {
  name     = var.cluster
  project  = var.project
  location = var.location
}

locals {
  host  = "https://${data.google_container_cluster.this.endpoint}"
  ca    = base64decode(data.google_container_cluster.this.master_auth[0].cluster_ca_certificate)
  token = data.google_client_config.this.access_token
}

provider "kubernetes" {
  host                   = local.host
  cluster_ca_certificate = local.ca
  token                  = local.token
}

provider "kubectl" {
  host                   = local.host
  cluster_ca_certificate = local.ca
  token                  = local.token
  load_config_file       = false
}

provider "helm" {
  kubernetes {
    host                   = local.host
    cluster_ca_certificate = local.ca
    token                  = local.token
  }
}

module "carillon" {
  source = "../../modules/carillon"

  chart      = "${path.module}/../../../helm/carillon"
  image      = var.image
  master_key = var.master_key
  kafka      = { disk_class = "premium-rwo" }
  scylla     = { disk_class = "premium-rwo" }

  values = [
    yamlencode({
      # A pod waits rather than stand in a zone that has one more than the others.
      topologySpread = { zones = "DoNotSchedule" }
      smsRouter      = { replicas = 3, priceDeck = { configMap = "carillon-prices" } }
      certManager    = { farmLink = { enabled = true } }
      gateway = {
        replicas = 6
        service  = { type = "LoadBalancer", port = 443 }
        tls      = { certManager = { enabled = true, hosts = [var.host], issuerRef = { name = "public", kind = "ClusterIssuer" } } }
      }
    }),
  ]
}
