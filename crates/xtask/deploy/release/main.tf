# A root for the module on any cluster: all it makes, engines too, where nothing runs that would act on them.

terraform {
  required_providers {
    helm       = { source = "hashicorp/helm", version = ">= 1.3" }
    kubectl    = { source = "gavinbunney/kubectl", version = ">= 1.14" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 1.13" }
  }
}

variable "kubeconfig" {
  type = string
}

variable "name" {
  type = string
}

provider "kubernetes" {
  config_path = var.kubeconfig
}

provider "kubectl" {
  config_path = var.kubeconfig
}

provider "helm" {
  kubernetes {
    config_path = var.kubeconfig
  }
}

module "carillon" {
  source = "../modules/carillon"

  namespace       = var.name
  chart           = "${path.module}/../../helm/carillon"
  image           = { repository = "localhost/carillon", tag = "0.1.0" }
  master_key      = "00000000000000000000000000000000ffffffffffffffffffffffffffffffff"
  secrets         = { supplier = { password = "a password" } }
  kafka           = { namespace = "${var.name}-kafka", topics = "check" }
  scylla          = { namespace = "${var.name}-scylla" }
  timeout_seconds = 120

  values = [
    yamlencode({
      smsRouter   = { replicas = 3, priceDeck = { configMap = "carillon-prices" } }
      certManager = { farmLink = { enabled = true } }
    }),
  ]
}
