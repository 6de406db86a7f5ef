// The first replacement is the provider's own, which counts for its own build only; the second module's home is gone.
module provider

go 1.26.0

require github.com/hashicorp/terraform-provider-helm v1.3.2

replace (
	github.com/Azure/go-autorest => github.com/Azure/go-autorest v13.3.3+incompatible
	vbom.ml/util => github.com/fvbommel/util v0.0.0-20180919145318-efcd4e0f9787
)
