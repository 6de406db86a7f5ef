//! Terraform's module: its form, and what the real providers make of it without a cluster.
//!
//! Knows where providers come from; must not know what the module makes.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::command;

/// Where Terraform looks for providers that have no other home.
const REGISTRY: &str = "registry.terraform.io";
/// Those of the oldest line that the module is written for, since only they are to be had as Go modules. Each has a folder with
/// its pins, or is a program of its own.
const PROVIDERS: [Provider; 3] = [
    Provider { owner: "gavinbunney", name: "kubectl", version: "1.19.0", is_program: true },
    Provider { owner: "hashicorp", name: "helm", version: "1.3.2", is_program: false },
    Provider { owner: "hashicorp", name: "kubernetes", version: "1.13.4", is_program: false },
];
const PINS: &str = "crates/xtask/deploy/providers";
/// A root that makes all the module can make.
const RELEASE: &str = "crates/xtask/deploy/release";
/// Kinds of the engines' operators, for clusters that have neither.
const OPERATORS: &str = "crates/xtask/deploy/operators.yaml";

/// Terraform does not ask its maker about itself.
const QUIET: (&str, &str) = ("CHECKPOINT_DISABLE", "1");

struct Provider {
    owner: &'static str,
    name: &'static str,
    version: &'static str,
    is_program: bool,
}

/// Where providers are, and where the module is tried.
pub(super) struct Terraform<'a> {
    root: &'a Path,
    mirror: PathBuf,
    desk: PathBuf,
}

impl<'a> Terraform<'a> {
    pub(super) fn new(root: &'a Path, tools: &Path, out: &Path) -> Self {
        // Not among the tools: those are thrown away as a whole when a pin changes, and these take minutes.
        Terraform { root, mirror: tools.with_file_name("deploy-providers"), desk: out.join("terraform") }
    }

    /// What takes no time: the files' form, and the module's tests where the providers were built.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !command::succeeds("terraform", &["version"]) {
            println!("there is no terraform here: its files were not checked");
            return Ok(());
        }
        command::run(self.root, "terraform", &["fmt", "-check", "-recursive", "terraform", RELEASE])?;
        if PROVIDERS.iter().all(|provider| self.place(provider).exists()) {
            return self.test();
        }
        println!(
            "no providers were built here (`cargo xtask check-deploy --offline` does): the module's tests did not run"
        );
        Ok(())
    }

    /// Builds the providers that are not there. Minutes the first time.
    pub(super) fn build_providers(&self) -> anyhow::Result<()> {
        for provider in PROVIDERS.iter().filter(|provider| !self.place(provider).exists()) {
            self.build(provider)?;
        }
        Ok(())
    }

    fn build(&self, provider: &Provider) -> anyhow::Result<()> {
        let Provider { owner, name, version, is_program } = provider;
        let desk = self.mirror.join("build").join(name);
        std::fs::create_dir_all(&desk).with_context(|| format!("cannot make `{}`", desk.display()))?;
        let built = desk.join(format!("terraform-provider-{name}"));
        if *is_program {
            let folder = format!("GOBIN={}", super::text(&desk)?);
            let program = format!("github.com/{owner}/terraform-provider-{name}@v{version}");
            command::run(self.root, "env", &[&folder, "go", "install", "-trimpath", &program])?;
        } else {
            for file in ["go.mod", "main.go"] {
                let from = self.root.join(PINS).join(name).join(file);
                std::fs::copy(&from, desk.join(file)).with_context(|| format!("cannot copy `{}`", from.display()))?;
            }
            command::run(&desk, "go", &["mod", "tidy"])?;
            command::run(&desk, "go", &["build", "-trimpath", "-o", super::text(&built)?, "."])?;
        }
        let place = self.place(provider);
        let folder = place.parent().context("a provider has a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        std::fs::rename(&built, &place).with_context(|| format!("cannot move `{}`", built.display()))
    }

    fn place(&self, provider: &Provider) -> PathBuf {
        let Provider { owner, name, version, .. } = provider;
        let folder = self.mirror.join(REGISTRY).join(owner).join(name).join(version).join("linux_amd64");
        folder.join(format!("terraform-provider-{name}_v{version}"))
    }

    fn test(&self) -> anyhow::Result<()> {
        let settings = self.lay_out()?;
        let module = self.desk.join("terraform/modules/carillon");
        for arguments in [&["init", "-no-color"][..], &["validate", "-no-color"], &["test", "-no-color"]] {
            command::run_with(&module, "terraform", arguments, &[("TF_CLI_CONFIG_FILE", &settings), QUIET])?;
        }
        Ok(())
    }

    /// Makes a release with all that belongs to it on the cluster of KUBECONFIG, finds nothing left to change, and takes it away.
    pub(super) fn apply(&self, kubectl: &str) -> anyhow::Result<()> {
        let kubeconfig = std::env::var("KUBECONFIG").context("KUBECONFIG does not name the cluster")?;
        let settings = self.lay_out()?;
        let release = self.desk.join("terraform/release");
        let name = format!("carillon-check-{}", std::process::id());
        let variables = [
            ("TF_CLI_CONFIG_FILE", settings.as_str()),
            QUIET,
            ("TF_VAR_kubeconfig", &kubeconfig),
            ("TF_VAR_name", &name),
        ];
        let terraform = |arguments: &[&str]| command::run_with(&release, "terraform", arguments, &variables);
        let are_ours = !command::succeeds(kubectl, &["get", "crd", "kafkas.kafka.strimzi.io"]);
        if are_ours {
            command::run(self.root, kubectl, &["apply", "--filename", OPERATORS])?;
            let established = ["wait", "--for=condition=Established", "--timeout=30s", "--filename", OPERATORS];
            command::run(self.root, kubectl, &established)?;
        }
        terraform(&["init", "-no-color"])?;
        let applied = terraform(&["apply", "-no-color", "-auto-approve"])
            // Exit code 2 says that something would change.
            .and_then(|()| terraform(&["plan", "-no-color", "-detailed-exitcode"]));
        let destroyed = terraform(&["destroy", "-no-color", "-auto-approve"]);
        if are_ours {
            command::run(self.root, kubectl, &["delete", "--wait=false", "--filename", OPERATORS])?;
        }
        applied.and(destroyed)?;
        let left = command::succeeds(kubectl, &["get", "namespace", &name]);
        ensure!(!left, "`terraform destroy` left the namespace `{name}`");
        Ok(())
    }

    /// A copy of what Terraform needs, since it writes beside what it reads, and the settings that name the mirror.
    fn lay_out(&self) -> anyhow::Result<String> {
        drop(std::fs::remove_dir_all(&self.desk));
        std::fs::create_dir_all(&self.desk).with_context(|| format!("cannot make `{}`", self.desk.display()))?;
        let desk = super::text(&self.desk)?;
        command::run(self.root, "cp", &["--archive", "--", "terraform", "helm", desk])?;
        command::run(self.root, "cp", &["--archive", "--", RELEASE, &format!("{desk}/terraform/release")])?;
        let settings = self.desk.join("terraform.rc");
        let mirror = self.mirror.display();
        let text = format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{mirror}\"\n  }}\n}}\n");
        std::fs::write(&settings, text).with_context(|| format!("cannot write `{}`", settings.display()))?;
        super::text(&settings).map(str::to_owned)
    }
}
