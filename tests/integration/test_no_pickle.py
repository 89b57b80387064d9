"""Pickles that others could have laid into a run, a bundle or a model: nothing in them runs."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.tracking import MlflowClient

from analysis.findings import find
from analysis.report import write_report
from rlsweep.errors import BundleError, PreflightError
from rlsweep.plan import Machine, Plan, make
from rlsweep.rl.bundle import DESCRIPTION, WEIGHTS, load_bundle
from rlsweep.run.launch import launch
from rlsweep.run.sync import sync
from rlsweep.spec import load
from rlsweep.store.checkpoint import ALGORITHM, read_row, write_manifest
from rlsweep.store.layout import Storage
from rlsweep.store.manifest import Manifest

ROOT = Path(__file__).parents[2]
NAME = "cartpole_ppo"
REGISTERED = "canary"

WATCHED = """
import json, sys
found = []
def watch(event, arguments):
    if event == "pickle.find_class":
        found.append(arguments[-2:])
sys.addaudithook(watch)
{body}
print("classes out of pickles:", json.dumps(found))
"""
"""Python unpickles no object of a class without this event."""

COMMAND = """
from rlsweep.cli import main
sys.argv = ["rlsweep", *{arguments}]
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
"""

PREDICT = """
import mlflow, numpy
model = mlflow.pyfunc.load_model({folder!r})
print("actions", model.predict(numpy.zeros((2, 4), numpy.float32)).shape)
"""


class Canary:
    """Leaves a file behind where it is unpickled, and becomes what was pickled before."""

    def __init__(self, file: Path, original: bytes) -> None:
        self._code = f"[open({str(file)!r}, 'w').close(), __import__('pickle').loads({original!r})][1]"

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (self._code,)


@pytest.fixture(scope="module")
def plan(machine: Machine) -> Plan:
    overrides = ["stop.env_steps=4000", "search.parameters={}", f"tracking.register={REGISTERED}"]
    return make(load(f"{NAME}.yaml", profile="smoke", overrides=overrides, root=ROOT).sweep, machine)


@pytest.fixture(scope="module")
def made(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a run that has ended, and its registered model."""
    folder = tmp_path_factory.mktemp("made") / "runs"
    layout = Storage(folder).run(NAME)
    launch(plan, Storage(folder))
    write_report(find(layout), layout, layout.report)
    sync(layout, Storage(folder))
    return folder


@pytest.fixture
def storage(made: Path, tmp_path: Path) -> Path:
    """A copy of the run whose every pickle, and every file that could be taken for one, has a canary."""
    folder = tmp_path / "runs"
    shutil.copytree(made / NAME, folder / NAME)
    for checkpoint in folder.glob("*/*/checkpoint_*"):
        row = read_row(checkpoint)
        pickles = sorted((checkpoint / ALGORITHM).rglob("*.pkl"))
        assert len(pickles) > 3
        for path in [*pickles, checkpoint / "policy" / "policy.pkl", checkpoint / "policy" / "weights.pt"]:
            plant(path, tmp_path / "canary")
        write_manifest(checkpoint, row)
    plant(folder / NAME / "tuner.pkl", tmp_path / "canary")
    plant(folder / NAME / "study.pkl", tmp_path / "canary")
    return folder


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that a canary leaves behind; it is there in no case but that of a test that says so."""
    file = tmp_path / "canary"
    assert not file.exists()
    return file


def plant(path: Path, canary: Path) -> None:
    original = path.read_bytes() if path.suffix == ".pkl" and path.exists() else pickle.dumps(None)
    path.write_bytes(pickle.dumps(Canary(canary, original)))


def watched(body: str, **environment: str) -> str:
    """The output of a program that ends by telling which classes came out of pickles."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(body=body)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_canary_sings_and_the_hook_hears_it(tmp_path: Path, canary: Path) -> None:
    plant(tmp_path / "x.pkl", canary)
    out = watched(f"import pickle; pickle.load(open({str(tmp_path / 'x.pkl')!r}, 'rb'))")
    assert '["builtins", "eval"]' in out
    assert canary.exists()


def test_others_checkpoints_are_not_loaded_unless_they_are_trusted(
    plan: Plan, storage: Path, canary: Path
) -> None:
    layout = Storage(storage).run(NAME)
    manifest = Manifest.read(layout)
    for record in manifest.trials:
        record.status = "interrupted"
    manifest.write(layout)
    before = {path: path.stat().st_mtime for path in storage.rglob("*")}
    for trial in manifest.trials:
        layout.trial(trial.id).chmod(0o777)
    with pytest.raises(PreflightError, match="everyone can write there") as caught:
        launch(plan, Storage(storage))
    assert caught.value.exit_code == 4
    assert "--trust" in str(caught.value)
    assert not canary.exists()
    assert Manifest.read(layout).trials == manifest.trials
    assert {path for path in before if not path.exists()} == set(), "nothing is moved"
    other = replace(plan, sweep=plan.sweep.model_copy(update={"name": "fork"}))
    with pytest.raises(PreflightError, match="everyone can write there"):
        launch(other, Storage(storage), fork_of=NAME)
    assert not canary.exists(), "nor copied, and loaded as one's own"
    launched = launch(plan, Storage(storage), trust=True)
    assert {record.status for record in launched.manifest.trials} == {"finished"}
    assert canary.exists(), "trusted, they are loaded: nothing else kept the canary silent"


def test_looking_at_a_run_and_playing_its_policy_unpickles_nothing(storage: Path, canary: Path) -> None:
    for path in [storage, *storage.rglob("*")]:
        path.chmod(0o777)
    bundle = storage / "bundle"
    commands = [
        ["status", NAME],
        ["report", NAME],
        ["report", str(storage / NAME), "--output", str(storage / "again")],
        ["best", NAME, "--export", str(bundle)],
        ["rollout", NAME, "--games", "1"],
        ["rollout", str(bundle), "--games", "1"],
    ]
    body = "".join(COMMAND.format(arguments=one) for one in commands)
    out = watched(body, RLSWEEP_STORAGE=str(storage))
    assert out.splitlines()[-1] == "classes out of pickles: []", out
    assert out.count("\nscore ") == 2
    assert not canary.exists()


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_a_pickle_in_place_of_a_file_of_a_bundle_is_refused(
    made: Path, tmp_path: Path, canary: Path, name: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(next(made.glob(f"{NAME}/*/checkpoint_*/policy")), bundle)
    load_bundle(bundle)
    plant(bundle / name, canary)
    with pytest.raises(BundleError, match="is no policy bundle"):
        load_bundle(bundle)
    assert not canary.exists()


def model_of(storage: Path) -> Path:
    """The folder of the registered model."""
    version = MlflowClient(Storage(storage).tracking_uri).get_model_version_by_alias(REGISTERED, "best")
    return Path(str(version.source).removeprefix("file://"))


def test_the_registered_model_loads_without_pickle(made: Path) -> None:
    folder = model_of(made)
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pt", ".pth", ".joblib")]
    settings = yaml.safe_load((folder / "MLmodel").read_text())
    assert "python_model" not in settings["flavors"]["python_function"]
    out = watched(PREDICT.format(folder=str(folder)), MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    assert out.splitlines() == ["actions (2,)", "classes out of pickles: []"]


def test_a_model_that_somebody_made_a_pickle_of_still_only_plays(made: Path, canary: Path) -> None:
    """`rlsweep rollout models:/…` takes the bundle out of a model and loads no model."""
    folder = model_of(made)
    changed = (folder / "MLmodel").read_text()
    settings = yaml.safe_load(changed)
    flavor = settings["flavors"]["python_function"]
    flavor.pop("model_code_path")
    flavor["python_model"] = "python_model.pkl"
    plant(folder / "python_model.pkl", canary)
    (folder / "MLmodel").write_text(yaml.safe_dump(settings))
    try:
        arguments = ["rollout", f"models:/{REGISTERED}@best", "--games", "1"]
        out = watched(COMMAND.format(arguments=arguments), RLSWEEP_STORAGE=str(made))
    finally:
        (folder / "MLmodel").write_text(changed)
        (folder / "python_model.pkl").unlink()
    assert out.splitlines()[-1] == "classes out of pickles: []"
    assert "score " in out
    assert not canary.exists()
