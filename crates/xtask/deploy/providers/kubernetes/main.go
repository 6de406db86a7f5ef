// Terraform's provider for kubernetes, as its makers wrote it. Built here, since only its sources are where Go's modules are.
package main

import (
	"github.com/hashicorp/terraform-plugin-sdk/plugin"
	"github.com/hashicorp/terraform-provider-kubernetes/kubernetes"
)

func main() {
	plugin.Serve(&plugin.ServeOpts{ProviderFunc: kubernetes.Provider})
}
