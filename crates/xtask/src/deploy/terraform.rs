//! Terraform's module: its form, and what the real providers make of it without a cluster.
//!
//! Knows where providers come from; must not know what the module makes.

use std::path::{Path, PathBuf};

use anyhow::Context;

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
        command::run(self.root, "terraform", &["fmt", "-check", "-recursive", "terraform"])?;
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

    /// In a copy, since Terraform writes beside what it reads.
    fn test(&self) -> anyhow::Result<()> {
        drop(std::fs::remove_dir_all(&self.desk));
        std::fs::create_dir_all(&self.desk).with_context(|| format!("cannot make `{}`", self.desk.display()))?;
        command::run(self.root, "cp", &["--archive", "--", "terraform", "helm", super::text(&self.desk)?])?;
        let settings = self.desk.join("terraform.rc");
        let mirror = self.mirror.display();
        let text = format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{mirror}\"\n  }}\n}}\n");
        std::fs::write(&settings, text).with_context(|| format!("cannot write `{}`", settings.display()))?;
        let variables = [("TF_CLI_CONFIG_FILE", super::text(&settings)?), ("CHECKPOINT_DISABLE", "1")];
        let module = self.desk.join("terraform/modules/carillon");
        for arguments in [&["init", "-no-color"][..], &["validate", "-no-color"], &["test", "-no-color"]] {
            command::run_with(&module, "terraform", arguments, &variables)?;
        }
        Ok(())
    }
}
