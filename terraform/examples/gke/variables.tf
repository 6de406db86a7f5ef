variable "cluster" {
  description = "The cluster's name."
  type        = string
}

variable "image" {
  description = "The image, by digest."
  type        = object({ repository = string, digest = string })
}

variable "master_key" {
  description = "The installation's secret; from the environment (`TF_VAR_master_key`), never from a file in the repository."
  type        = string
  sensitive   = true
}

variable "host" {
  description = "The name clients reach the doors by."
  type        = string
}
