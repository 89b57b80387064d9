"""docker/kuberay and docker/ray-up: fields, secrets and versions."""

from __future__ import annotations

import json
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.aws.config import _check_ami, _configure_iam_role, _configure_security_group
from ray.scripts.scripts import start

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
MANIFESTS = ["raycluster", "rayjob"]
KUBERAY = json.loads((ROOT / "tests" / "data" / "kuberay-v1.json").read_text("utf-8"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
SWEEP_STOPS = 160
"""Seconds that stop-jobs gives the trials: RAY_JOB_STOP_WAIT_TIME_S and ten."""


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "kuberay" / f"{name}.yaml").read_text("utf-8"))
    return found


def cluster(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifest(name)["spec"]
    return spec if name == "raycluster" else spec["rayClusterSpec"]


def groups(name: str) -> list[dict[str, Any]]:
    return [cluster(name)["headGroupSpec"], *cluster(name)["workerGroupSpecs"]]


@pytest.mark.parametrize("name", MANIFESTS)
def test_kuberay_and_kubernetes_know_every_field(name: str) -> None:
    jsonschema.Draft202012Validator(KUBERAY).validate(manifest(name))
    for group in groups(name):
        pods = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}}
        kubernetes_validate.validate({**pods, "template": group["template"]}, "1.34", strict=True)


def test_a_slip_in_a_manifest_is_seen() -> None:
    slipped = manifest("rayjob")
    slipped["spec"]["rayClusterSpec"]["authOption"] = {"mode": "token"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(KUBERAY).validate(slipped)


def stop_command(found: dict[str, Any]) -> list[str]:
    """Of a cluster, what its head's preStop runs."""
    (container,) = found["headGroupSpec"]["template"]["spec"]["containers"]
    command: list[str] = container["lifecycle"]["preStop"]["exec"]["command"]
    return command


def test_the_job_brings_the_cluster_of_the_other_manifest() -> None:
    job, stays = cluster("rayjob"), cluster("raycluster")
    assert stop_command(job).pop(1) == "--signal", "a job that is STOPPED is not started again"
    assert job == stays


@pytest.mark.parametrize("name", MANIFESTS)
def test_it_asks_for_a_token_and_grows(name: str) -> None:
    found = cluster(name)
    assert found["rayVersion"] == ray.__version__
    assert found["authOptions"] == {"mode": "token"}
    assert found["enableInTreeAutoscaling"] is True
    assert found["autoscalerOptions"]["version"] == "v2"
    (workers,) = found["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] < workers["maxReplicas"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_are_ours_and_not_root(name: str) -> None:
    for group, variant in zip(groups(name), ("cpu", "cuda"), strict=True):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"].endswith(f"/rlsweep:{VERSION}-{variant}")
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (variant == "cuda")
        assert container["resources"]["limits"] == container["resources"]["requests"]
        options = [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
        start.make_context("start", [*options, "--block"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_secrets_are_references(name: str) -> None:
    for group in groups(name):
        for one in group["template"]["spec"]["containers"][0]["env"]:
            is_secret = any(word in one["name"] for word in ("PASSWORD", "SECRET", "ACCESS_KEY", "TOKEN"))
            assert ("value" in one) != ("valueFrom" in one)
            assert not is_secret or list(one["valueFrom"]) == ["secretKeyRef"], one


@pytest.mark.parametrize("name", MANIFESTS)
def test_trials_have_the_time_for_their_checkpoints(name: str) -> None:
    pod = cluster(name)["headGroupSpec"]["template"]["spec"]
    (container,) = pod["containers"]
    seconds = {one["name"]: one.get("value") for one in container["env"]}["RAY_JOB_STOP_WAIT_TIME_S"]
    assert int(seconds) + 10 == SWEEP_STOPS < pod["terminationGracePeriodSeconds"]
    assert stop_command(cluster(name))[0] == "stop-jobs"


def test_the_cluster_launcher_knows_every_field() -> None:
    found = yaml.safe_load((DOCKER / "ray-up" / "aws.yaml").read_text("utf-8"))
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(found, json.loads(schema.read_text("utf-8")))
    assert found["docker"]["image"].endswith(f"/rlsweep:{VERSION}-cuda")
    assert "--env=RAY_AUTH_MODE=token" in found["docker"]["run_options"]
    assert list(found["file_mounts"]) == ["/home/rlsweep/.ray/auth_token"]
    for line in found["head_start_ray_commands"] + found["worker_start_ray_commands"]:
        if line.startswith("ray start"):
            start.make_context("start", line.split()[2:])


def test_the_cluster_launcher_is_left_no_choice_that_is_too_wide() -> None:
    found = yaml.safe_load((DOCKER / "ray-up" / "aws.yaml").read_text("utf-8"))
    nodes = {name: one["node_config"] for name, one in found["available_node_types"].items()}
    unchanged = deepcopy(found)
    assert _configure_security_group(found) == unchanged, "else Ray makes a group that is open to everybody"
    _check_ami(found)
    assert _configure_iam_role(found) == unchanged
    profiles = {node["IamInstanceProfile"]["Name"] for node in nodes.values()}
    assert len(profiles) == len(nodes), "what the head may do to instances, trials may not"
    assert not any("--shm-size" in option for option in found["docker"]["run_options"]), "Ray measures it"
