# Carillon on a cluster of Amazon's, with its disks and its load balancer.

terraform {
  required_providers {
    aws        = { source = "hashicorp/aws", version = ">= 5.0" }
    helm       = { source = "hashicorp/helm", version = ">= 1.3" }
    kubectl    = { source = "gavinbunney/kubectl", version = ">= 1.14" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 1.13" }
  }
}

data "aws_eks_cluster" "this" {
  name = var.cluster
}

data "aws_eks_cluster_auth" "this" {
  name = var.cluster
}

locals {
  host  = data.aws_eks_cluster.this.endpoint
  ca    = base64decode(data.aws_eks_cluster.this.certificate_authority[0].data)
  token = data.aws_eks_cluster_auth.this.token
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
  kafka      = { disk_class = "gp3" }
  scylla     = { disk_class = "gp3" }

  values = [
    yamlencode({
      # A pod waits rather than stand in a zone that has one more than the others.
      topologySpread = { zones = "DoNotSchedule" }
      smsRouter      = { replicas = 3, priceDeck = { configMap = "carillon-prices" } }
      certManager    = { farmLink = { enabled = true } }
      gateway = {
        replicas = 6
        service = {
          type = "LoadBalancer"
          port = 443
          annotations = {
            "service.beta.kubernetes.io/aws-load-balancer-type"            = "external"
            "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type" = "ip"
            "service.beta.kubernetes.io/aws-load-balancer-scheme"          = "internet-facing"
          }
        }
        tls = { certManager = { enabled = true, hosts = [var.host], issuerRef = { name = "public", kind = "ClusterIssuer" } } }
      }
    }),
  ]
}
