//! Checks what operators install: the chart with every example, alerts, dashboards, Terraform's module.
//!
//! Knows tools and where their files are; must not know Kubernetes.

mod terraform;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::command;
use crate::machine;

use self::terraform::Terraform;

const CHART: &str = "helm/carillon";
/// The oldest Kubernetes the chart is for, and the newest whose schemas there are.
const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];

/// Checks the chart on the cluster of KUBECONFIG, in a namespace of its own that is removed: install, upgrade, rollback, scale,
/// uninstall, what is refused, what the pods may ask of the cluster, who reaches whom; then Terraform's module: apply, a plan without
/// changes, destroy. Before that, the unit tests of both.
#[derive(Args)]
pub(crate) struct CheckDeploy {
    /// Drains this node while the release is installed, and takes it back. All that runs there has to move.
    #[arg(long, value_name = "NODE")]
    drain: Option<String>,
    /// Runs the unit tests only, without a cluster. Their runner and Terraform's providers are built once, which takes minutes.
    #[arg(long, conflicts_with = "drain")]
    offline: bool,
}

impl CheckDeploy {
    /// Runs the checks that take long, or a cluster.
    ///
    /// # Errors
    /// The first that fails.
    pub(crate) fn run(&self, root: &Path) -> anyhow::Result<()> {
        let bench = Bench::fetch(root)?;
        bench.unit_tests()?;
        bench.document()?;
        let terraform = bench.terraform();
        terraform.build_providers()?;
        terraform.check()?;
        if self.offline {
            return Ok(());
        }
        let programs = bench.tools.join("bin");
        let mut arguments = vec!["crates/xtask/deploy/cluster.py", text(&programs)?];
        if let Some(node) = &self.drain {
            arguments.extend(["--drain", node]);
        }
        command::run(root, "python3", &arguments)?;
        terraform.apply(&bench.program("kubectl")?)
    }
}

/// Where the tools are, and what was made with them.
struct Bench<'a> {
    root: &'a Path,
    tools: PathBuf,
    out: PathBuf,
}

/// Fetches the tools, and runs what needs no cluster.
///
/// # Errors
/// The first check that fails, or a tool that can't be had.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let bench = Bench::fetch(root)?;
    bench.tool("hadolint", &["Containerfile"])?;
    bench.terraform().check()?;
    bench.alerts()?;
    bench.unit_tests()?;
    bench.document()?;
    let rendered = bench.render()?;
    bench.schemas(&rendered)?;
    bench.settings(&machine::target(root).join("debug/carillon"), &rendered)
}

impl<'a> Bench<'a> {
    fn fetch(root: &'a Path) -> anyhow::Result<Self> {
        let target = machine::target(root);
        let bench = Bench { root, tools: target.join("deploy-tools"), out: target.join("deploy") };
        std::fs::create_dir_all(&bench.out).with_context(|| format!("cannot make `{}`", bench.out.display()))?;
        command::run(root, "python3", &["crates/xtask/deploy/tools.py", text(&bench.tools)?])?;
        Ok(bench)
    }

    /// The chart's own tests, by a runner that is built if it is not there.
    fn unit_tests(&self) -> anyhow::Result<()> {
        let program = self.program("helm-unittest")?;
        let package = "github.com/helm-unittest/helm-unittest/cmd/helm-unittest";
        command::run(
            &self.root.join("crates/xtask/deploy/unittest"),
            "go",
            &["build", "-trimpath", "-o", &program, package],
        )?;
        command::run(self.root, &program, &["--strict", "--file", "tests/*_test.yaml", CHART])
    }

    /// The chart's README is what helm-docs makes of its template and the words beside the values.
    fn document(&self) -> anyhow::Result<()> {
        let written =
            command::output(self.root, &self.program("helm-docs")?, &["--chart-search-root", "helm", "--dry-run"])?;
        let path = self.root.join(CHART).join("README.md");
        let found = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let is_current = found.trim_end() == written.trim_end();
        ensure!(
            is_current,
            "`{CHART}/README.md` is not what helm-docs writes: type `{} -c helm`",
            self.program("helm-docs")?
        );
        Ok(())
    }

    fn terraform(&self) -> Terraform<'_> {
        Terraform::new(self.root, &self.tools, &self.out)
    }

    /// Lints and renders every example, by the values' schema.
    fn render(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut rendered = Vec::new();
        for example in files(&self.root.join(CHART).join("examples"), "yaml")? {
            let values = text(&example)?;
            self.tool("helm", &["lint", "--strict", "--quiet", CHART, "--values", values])?;
            let name = example.file_name().context("an example has a name")?;
            let arguments = ["template", "carillon", CHART, "--namespace", "sms", "--values", values];
            let manifests = command::output(self.root, &self.program("helm")?, &arguments)?;
            let path = self.out.join(name);
            std::fs::write(&path, manifests).with_context(|| format!("cannot write `{}`", path.display()))?;
            rendered.push(path);
        }
        ensure!(!rendered.is_empty(), "the chart has no example");
        Ok(rendered)
    }

    /// Every object is one that both ends of what is supported take, and names nothing they do not know.
    fn schemas(&self, rendered: &[PathBuf]) -> anyhow::Result<()> {
        let schemas = text(&self.tools)?.to_owned() + "/schemas";
        let of_kubernetes = format!(
            "{schemas}/{{{{.NormalizedKubernetesVersion}}}}-standalone-strict/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        );
        let of_others = format!("{schemas}/crds/{{{{.Group}}}}_{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json");
        for version in KUBERNETES {
            let mut arguments = vec!["-strict", "-summary", "-kubernetes-version", version];
            arguments.extend(["-schema-location", &of_kubernetes, "-schema-location", &of_others]);
            for path in rendered {
                arguments.push(text(path)?);
            }
            self.tool("kubeconform", &arguments)?;
        }
        Ok(())
    }

    /// Rules and dashboards are PromQL, and each alert fires when it should, and not when it should not.
    fn alerts(&self) -> anyhow::Result<()> {
        let alerts = self.root.join(CHART).join("alerts");
        self.promtool("check", &files(&alerts, "yaml")?)?;
        self.promtool("test", &files(&alerts.join("tests"), "yaml")?)?;
        let rules = self.out.join("dashboards.json");
        let dashboards = files(&self.root.join(CHART).join("dashboards"), "json")?;
        let mut arguments = vec!["crates/xtask/deploy/dashboards.py", text(&rules)?];
        for dashboard in &dashboards {
            arguments.push(text(dashboard)?);
        }
        command::run(self.root, "python3", &arguments)?;
        self.promtool("check", &[rules])
    }

    fn promtool(&self, order: &str, rules: &[PathBuf]) -> anyhow::Result<()> {
        let mut arguments = vec![order, "rules"];
        for path in rules {
            arguments.push(text(path)?);
        }
        self.tool("promtool", &arguments)
    }

    /// What the chart writes is what the binary reads.
    fn settings(&self, binary: &Path, rendered: &[PathBuf]) -> anyhow::Result<()> {
        ensure!(binary.exists(), "no `{}`: run the step `build` before", binary.display());
        let schema = format!("{CHART}/values.schema.json");
        let python = self.tools.join("venv/bin/python");
        let mut arguments = vec!["crates/xtask/deploy/values.py", text(binary)?, &schema];
        for path in rendered {
            arguments.push(text(path)?);
        }
        command::run(self.root, text(&python)?, &arguments)
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        command::run(self.root, &self.program(name)?, arguments)
    }

    fn program(&self, name: &str) -> anyhow::Result<String> {
        Ok(text(&self.tools.join("bin").join(name))?.to_owned())
    }
}

/// The files of a folder with this ending, in order.
fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("cannot read `{}`", folder.display());
    let entries = std::fs::read_dir(folder).with_context(context)?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no `.{ending}` file in `{}`", folder.display());
    Ok(found)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is no text")
}
