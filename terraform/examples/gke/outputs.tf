output "doors" {
  value = "https://${var.host}"
}

output "secrets_to_copy" {
  value = module.carillon.secrets_to_copy
}
