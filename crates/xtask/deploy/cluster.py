#!/usr/bin/env python3
"""Installs the chart into a real cluster as an operator would, and takes it away again.

Usage: cluster.py BIN [--drain NODE]

BIN has helm and kubectl. The cluster is the one of KUBECONFIG; it needs the CRDs of cert-manager. Where it has no class of
volumes that is the default, it gets one for the time, with volumes that nothing is written to. Everything happens in a namespace of its own, where Pod Security `restricted` and the policy of policy.yaml are enforced, and is removed at
the end. Pods must become ready: with the image and engines, or on nodes that only pretend (kwok).
"""
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE.parents[2] / "helm/carillon"
SECONDS_MAX = "120s"


class Cluster:
    def __init__(self, bin, namespace):
        self.bin, self.namespace = pathlib.Path(bin), namespace

    def run(self, program, *words, stdin=None):
        line = [str(self.bin / program), "--namespace", self.namespace, *map(str, words)]
        return subprocess.run(line, input=stdin, capture_output=True, text=True)

    def must(self, program, *words, stdin=None):
        began = time.monotonic()
        told = self.run(program, *words, stdin=stdin)
        print(f"$ {program} {' '.join(map(str, words))}  ({time.monotonic() - began:.1f} s)", flush=True)
        if told.returncode:
            sys.exit(told.stdout + told.stderr)
        return told.stdout

    def objects(self, kinds, selector="app.kubernetes.io/part-of=carillon"):
        return json.loads(self.must("kubectl", "get", kinds, "--selector", selector, "--output", "json"))["items"]


def expect(true, what):
    if not true:
        sys.exit(f"NOT SO: {what}")
    print(f"  {what}")


def pod(name, **changes):
    container = {"name": "c", "image": "carillon:0.1.0", "resources": {"limits": {"cpu": "1", "memory": "1Mi"}},
                 "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"automountServiceAccountToken": False, "securityContext": security, "containers": [container | changes]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def refusals(cluster):
    """The policy refuses what it should, and only that."""
    apply = ["apply", "--dry-run=server", "--filename", "-"]
    # A policy is in force a moment after it was made.
    for _ in range(50):
        told = cluster.run("kubectl", *apply, stdin=pod("a", resources={}))
        if told.returncode:
            break
        time.sleep(0.2)
    expect("has limits" in told.stderr, "a container without limits is refused")
    told = cluster.run("kubectl", *apply, stdin=pod("a", image="carillon:latest"))
    expect("other than latest" in told.stderr, "an image with the tag latest is refused")
    told = cluster.run("kubectl", *apply, stdin=pod("a", securityContext={"privileged": True}))
    expect("PodSecurity" in told.stderr, "a privileged container is refused")
    cluster.must("kubectl", *apply, stdin=pod("a"))


def rights(cluster):
    account = f"--as=system:serviceaccount:{cluster.namespace}:carillon"
    things = ("secrets", "pods", "pods/exec", "configmaps", "deployments.apps", "roles.rbac.authorization.k8s.io")
    for verb in ("get", "list", "create", "delete"):
        for what in things:
            told = cluster.run("kubectl", "auth", "can-i", verb, what, account)
            expect(told.stdout.strip() == "no", f"the pods' account can not {verb} {what}")
    expect(not cluster.objects("roles,rolebindings"), "and no role was made for it")
    for pod in cluster.objects("pods"):
        expect(pod["spec"]["automountServiceAccountToken"] is False, f"{pod['metadata']['name']} has no token")


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def lets_in(policies, pod, port, peer):
    """Whether some policy lets `peer` (labels of a pod beside it) come to this port; as the API's documents say it."""
    for policy in policies:
        spec = policy["spec"]
        if "Ingress" not in spec["policyTypes"] or not selects(spec["podSelector"], pod):
            continue
        for rule in spec.get("ingress", []):
            ports = [at.get("port") for at in rule.get("ports", [])]
            beside = [one["podSelector"] for one in rule.get("from", []) if "podSelector" in one and "namespaceSelector" not in one]
            if (not ports or port in ports) and ("from" not in rule or any(selects(one, peer) for one in beside)):
                return True
    return False


def networks(cluster):
    """No kubelet enforces anything here: what is looked at is what the policies that the API server has would do to the pods it has."""
    policies = [item for item in cluster.objects("networkpolicies")]
    pods = [(item["metadata"]["name"], item["metadata"]["labels"]) for item in cluster.objects("pods")]
    for name, labels in pods:
        chosen = [item["spec"] for item in policies if selects(item["spec"]["podSelector"], labels)]
        kinds = {kind for spec in chosen for kind in spec["policyTypes"]}
        expect(kinds == {"Ingress", "Egress"}, f"{name} may neither be reached nor reach but by what is named")
        expect(not any(rule == {} for spec in chosen for rule in spec.get("ingress", []) + spec.get("egress", [])),
               f"and nothing lets everything through to or from {name}")
    of = {labels["app.kubernetes.io/component"]: labels for _, labels in pods}
    test = of["gateway"] | {"app.kubernetes.io/component": "test"}
    for port, peer, target, wanted in (
        (8080, test, "gateway", True), (8080, of["modem-farm"], "gateway", False), (8080, {"app": "stranger"}, "gateway", False),
        (7070, of["modem-farm"], "sms-router", True), (7070, {"app": "stranger"}, "sms-router", False),
        (8081, {"app": "stranger"}, "gateway", False), (8081, {"app": "stranger"}, "modem-farm", False),
    ):
        who = peer.get("app.kubernetes.io/component", "a stranger")
        expect(lets_in(policies, of[target], port, peer) is wanted, f"{who} {'may' if wanted else 'may not'} come to {port} of {target}")


VOLUMES_CLASS = "carillon-check"


def volumes(cluster):
    """A default class, and volumes of it, unless the cluster has one."""
    classes = json.loads(cluster.must("kubectl", "get", "storageclasses", "--output", "json"))["items"]
    default = "storageclass.kubernetes.io/is-default-class"
    if any(item["metadata"].get("annotations", {}).get(default) == "true" for item in classes):
        return
    label = {"carillon/check": "volumes"}
    made = [{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner",
             "metadata": {"name": VOLUMES_CLASS, "annotations": {default: "true"}, "labels": label}}]
    for number in range(8):
        made.append({"apiVersion": "v1", "kind": "PersistentVolume",
                     "metadata": {"name": f"{VOLUMES_CLASS}-{number}", "labels": label},
                     "spec": {"capacity": {"storage": "10Gi"}, "storageClassName": VOLUMES_CLASS,
                              "accessModes": [("ReadWriteOnce", "ReadWriteOncePod")[number % 2]],
                              "persistentVolumeReclaimPolicy": "Retain",
                              "csi": {"driver": "none.carillon", "volumeHandle": str(number)}}})
    manifests = "\n---\n".join(json.dumps(one) for one in made)
    cluster.must("kubectl", "apply", "--filename", "-", stdin=manifests)


def examples(cluster):
    """Every object of every example is one that this API server would take."""
    for example in sorted((CHART / "examples").glob("*.yaml")):
        manifests = cluster.must("helm", "template", "carillon", CHART, "--values", example)
        told = cluster.run("kubectl", "create", "--dry-run=server", "--filename", "-", stdin=manifests)
        expect(told.returncode == 0, f"the API server takes {example.name} {told.stderr.strip()}")


def replicas(cluster, kind, component):
    items = cluster.objects(kind, f"app.kubernetes.io/component={component}")
    return [(item["spec"]["replicas"], item["status"].get("readyReplicas", 0)) for item in items]


def life(cluster):
    values = ["--values", CHART / "examples/small.yaml"]
    wait = ["--wait", "--timeout", SECONDS_MAX]
    cluster.must("helm", "install", "carillon", CHART, *values, *wait)
    expect(replicas(cluster, "deployments", "gateway") == [(2, 2)], "two gateways are ready")
    expect(replicas(cluster, "statefulsets", "sms-router") == [(2, 2)], "two routers are ready")
    expect(replicas(cluster, "statefulsets", "modem-farm") == [(1, 1)], "the farm is ready")
    before = {item["metadata"]["uid"] for item in cluster.objects("pods")}
    cluster.must("helm", "upgrade", "carillon", CHART, *values, "--set", "settings.gateway.cell=north", "--set",
                 "gateway.replicas=3", *wait)
    expect(replicas(cluster, "deployments", "gateway") == [(3, 3)], "after the upgrade there are three gateways")
    pods = cluster.objects("pods", "app.kubernetes.io/component in (gateway,sms-router)")
    living = {item["metadata"]["uid"] for item in pods if "deletionTimestamp" not in item["metadata"]}
    expect(not living & before, "settings that changed replaced every gateway and router")
    cluster.must("helm", "rollback", "carillon", "1", *wait)
    expect(replicas(cluster, "deployments", "gateway") == [(2, 2)], "after the rollback there are two again")


def scale(cluster):
    """A number that kubectl set is kubectl's until Helm is told to take it back."""
    cluster.must("kubectl", "scale", "statefulset/carillon-sms-router", "--replicas", "3")
    cluster.must("kubectl", "rollout", "status", "statefulset/carillon-sms-router", "--timeout", SECONDS_MAX)
    expect(replicas(cluster, "statefulsets", "sms-router") == [(3, 3)], "routers can be scaled")
    upgrade = ["upgrade", "carillon", CHART, "--values", CHART / "examples/small.yaml", "--wait", "--timeout", SECONDS_MAX]
    told = cluster.run("helm", *upgrade)
    expect(told.returncode and "conflict" in told.stderr, "Helm does not take the number back unasked")
    cluster.must("helm", *upgrade, "--force-conflicts")
    expect(replicas(cluster, "statefulsets", "sms-router") == [(2, 2)], "and does when it is told to")


# A list of values takes the place of the one before it: the example's farm stays.
OUTSIDE = """
farms:
  - {name: suppliers, smpp: [{name: blue, route: blue-smpp, address: "smpp.blue.example:2775", system_id: carillon, window: 50,
     passwordSecret: {name: smpp-blue, key: password}}]}
  - {name: cellar, outside: true, routers: ["router-0.farms.example.com:7070"], links: [{name: m1, route: blue, device: /dev/ttyUSB0}]}
"""


def outside(cluster):
    """A farm elsewhere gets a tarball by the lines of its README, as they stand there."""
    cluster.must("helm", "upgrade", "carillon", CHART, "--values", CHART / "examples/small.yaml", "--values", "-", "--wait",
                 "--timeout", SECONDS_MAX, stdin=OUTSIDE)
    expect(not cluster.objects("pods", "carillon/farm=cellar"), "a farm elsewhere has no pod")
    # Who would make it, cert-manager, need not run here.
    literals = [f"--from-literal={name}={name}" for name in ("tls.crt", "tls.key", "ca.crt")]
    cluster.must("kubectl", "create", "secret", "generic", "carillon-farm-cellar-tls", *literals)
    lines = next(block for block in (CHART / "farm-elsewhere/README.md").read_text().split("```sh\n") if "part()" in block)
    lines = lines.split("```")[0].replace("--namespace sms", f"--namespace {cluster.namespace}")
    lines = lines.replace("/path/to/carillon", "/bin/true") + "tar --list --file cellar.tar.gz && cat etc/*/*.toml etc/*/*/*.service"
    path = f"{cluster.bin.absolute()}:{os.environ['PATH']}"
    told = subprocess.run(["sh", "-euc", lines], capture_output=True, text=True, env=os.environ | {"PATH": path})
    expect(told.returncode == 0, f"the lines that make its tarball run {told.stderr.strip()}")
    for part in ("opt/carillon/carillon", "etc/systemd/system/carillon-farm.service", "etc/carillon-farm/tls/tls.key",
                 "router-0.farms.example.com:7070", "ExecStart="):
        expect(part in told.stdout, f"`{part}` is in it")


def drain(cluster, node):
    pods = lambda: [item["metadata"]["name"] for item in cluster.objects("pods")
                    if item["spec"].get("nodeName") == node and item["status"]["phase"] == "Running"]
    print(f"  on {node}: {', '.join(pods()) or 'nothing'}")
    try:
        cluster.must("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", SECONDS_MAX)
        expect(not pods(), f"{node} is empty")
        cluster.must("kubectl", "rollout", "status", "deployment/carillon-gateway", "--timeout", SECONDS_MAX)
        cluster.must("kubectl", "rollout", "status", "statefulset/carillon-sms-router", "--timeout", SECONDS_MAX)
    finally:
        cluster.must("kubectl", "uncordon", node)


def gone(cluster):
    cluster.must("helm", "uninstall", "carillon", "--wait", "--timeout", SECONDS_MAX)
    kinds = "deployments,statefulsets,services,configmaps,jobs,networkpolicies,poddisruptionbudgets,serviceaccounts"
    expect(not cluster.objects(kinds), "nothing of the release is left")
    claims = cluster.objects("persistentvolumeclaims", "app.kubernetes.io/component=modem-farm")
    expect(len(claims) == 1, "but the farm's journal")


def main():
    node = sys.argv[3] if sys.argv[2:3] == ["--drain"] else None
    cluster = Cluster(sys.argv[1], f"carillon-check-{os.getpid()}")
    cluster.must("kubectl", "apply", "--filename", HERE / "policy.yaml")
    cluster.must("kubectl", "create", "namespace", cluster.namespace)
    try:
        volumes(cluster)
        labels = ["pod-security.kubernetes.io/enforce=restricted", "carillon/policy=production"]
        cluster.must("kubectl", "label", "namespace", cluster.namespace, *labels)
        refusals(cluster)
        examples(cluster)
        life(cluster)
        outside(cluster)
        scale(cluster)
        rights(cluster)
        networks(cluster)
        if node:
            drain(cluster, node)
        gone(cluster)
    finally:
        cluster.must("kubectl", "delete", "namespace", cluster.namespace, "--wait=false")
        cluster.must("kubectl", "delete", "--filename", HERE / "policy.yaml")
        label = "carillon/check=volumes"
        cluster.must("kubectl", "delete", "storageclasses,persistentvolumes", "--selector", label, "--wait=false")
    print("the cluster took it all")


if __name__ == "__main__":
    main()
