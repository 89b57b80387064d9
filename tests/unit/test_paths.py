"""Names and paths from a spec, a manifest or MLflow stay inside of the run folder, whatever they say."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsweep.errors import RunError, SpecError, UsageError
from rlsweep.plan import Machine, make
from rlsweep.plan.plan import trial_id
from rlsweep.run import sources
from rlsweep.run.launch import kept_name
from rlsweep.spec import Sweep, load
from rlsweep.store.layout import RunLayout, Storage, is_name
from rlsweep.store.manifest import Manifest, TrialRecord

ROOT = Path(__file__).parents[2]
MACHINE = Machine.of(cpus=4, gpus=0)
PROFILE = settings(max_examples=400, deadline=None, derandomize=True)

NASTY = ["..", ".", "/", "../../x", "/etc/passwd", "a/b", "\0", "..\\x", "~", "-rf", "sweep.json", "report"]
PARTS = st.text(st.sampled_from("./\\~\0a"), max_size=9)
TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), PARTS)
VALUE = st.recursive(
    TEXT | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
NAMES = {
    getattr(RunLayout(Path()), name).name
    for name, value in vars(RunLayout).items()
    if isinstance(value, property)
}


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path names something directly in a folder."""
    return os.path.normpath(path.parent) == str(folder) and os.path.normpath(path) != str(folder)


@PROFILE
@given(values=st.dictionaries(TEXT, VALUE, max_size=4), seed=st.integers(0, 10**7))
def test_the_id_of_a_trial_is_the_name_of_a_folder(values: dict[str, Any], seed: int) -> None:
    found = trial_id(values, seed)
    assert is_name(found)
    assert len(os.fsencode(found)) <= 110
    assert found not in NAMES
    assert is_inside(RunLayout(Path("/runs/sweep")).trial(found), Path("/runs/sweep"))


def test_the_names_of_a_run_are_known_here() -> None:
    assert {"sweep.json", "report", "best", "superseded", ".lock"} <= NAMES


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return load("cartpole_ppo.yaml", root=ROOT).sweep.as_written()


@PROFILE
@given(texts=st.lists(TEXT, min_size=1, max_size=4, unique=True))
def test_text_that_is_swept_stays_one_folder(data: dict[str, Any], texts: list[str]) -> None:
    swept = {"env.kwargs.record_to": {"values": texts}}
    sweep = Sweep.parse({**data, "search": {"method": "grid", "parameters": swept}, "seeds": [0]})
    trials = make(sweep, MACHINE).trials
    assert [trial.sweep.env.kwargs["record_to"] for trial in trials] == texts
    ids = {trial.id for trial in trials}
    assert len(ids) == len(texts), "two trials never share a folder"
    assert all(is_name(one) and is_inside(Path("/runs/sweep") / one, Path("/runs/sweep")) for one in ids)


@PROFILE
@given(name=TEXT | st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True))
def test_the_name_of_a_sweep_is_the_name_of_a_folder(data: dict[str, Any], name: str) -> None:
    try:
        sweep = Sweep.parse({**data, "name": name})
    except ValueError:
        return
    storage = Storage(Path("/runs"))
    assert is_name(name)
    assert is_inside(storage.run(sweep.name).root, storage.root)
    assert storage.run(sweep.name).root not in (Path("/runs/artifacts"), Path("/runs/mlflow.db"))
    assert storage.run(sweep.name).root != storage.accounts


@pytest.mark.parametrize("name", [name for name in NASTY if name not in ("report", "sweep.json")])
def test_a_sweep_cannot_be_called_so(data: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Sweep.parse({**data, "name": name})


@PROFILE
@given(text=TEXT)
def test_the_folder_of_a_trial_is_in_the_run_or_refused(text: str) -> None:
    """As a manifest that somebody has changed may say."""
    layout = RunLayout(Path("/runs/sweep"))
    try:
        found = layout.trial(text)
    except RunError:
        assert not is_name(text)
        return
    assert is_inside(found, layout.root)


@pytest.mark.parametrize("text", ["../x", "..", ".", "", "/etc", "a/b", "a\0b"])
def test_ids_that_leave_the_run_are_refused(text: str) -> None:
    layout = RunLayout(Path("/runs/sweep"))
    for ask in (layout.trial, layout.result_json, layout.checkpoints):
        with pytest.raises(RunError, match="no trial can be called"):
            ask(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("extends", name) for name in ("../pyproject.toml", "/etc/hosts", "base/../../x.yaml")),
        *(("search.space", name) for name in ("../sweeps/cartpole_ppo", "/etc/hosts", "a/../../x")),
        *(("tracking.register", name) for name in ("../x", "a/b", "a:b", "..", "a\0b")),
        *(("callbacks", [name]) for name in ("../x:Y", "/tmp/x.py:Y", "a.b:C:D", "os;x:Y")),
    ],
)
def test_names_with_a_path_in_them_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    data = yaml.safe_load((ROOT / "sweeps" / "cartpole_ppo.yaml").read_text("utf-8"))
    data.pop("profiles")
    *sections, last = key.split(".")
    section = data
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = value
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(data), "utf-8")
    with pytest.raises(SpecError) as caught:
        load(spec, root=ROOT)
    assert [issue.message for issue in caught.value.issues if repr(value).strip("[]") in issue.message]


def test_files_of_a_spec_are_kept_by_their_names() -> None:
    assert kept_name(Path("/x.yaml")) == "x.yaml"
    assert kept_name(Path("x.yaml")) == "x.yaml"
    assert kept_name(Path("sweeps/base/x.yaml")) == "base-x.yaml"
    assert kept_name(Path("../x.yaml")) == "..-x.yaml"


@PROFILE
@given(parts=st.lists(st.text(min_size=1, max_size=9).filter(is_name), min_size=1, max_size=4))
def test_wherever_a_spec_lies_its_copy_lies_with_the_run(parts: list[str]) -> None:
    for path in (Path("/", *parts), Path(*parts), Path("..", *parts)):
        assert is_inside(Path("/runs/sweep/spec") / kept_name(path), Path("/runs/sweep/spec"))


class _Client:
    """An MLflow whose experiments and tags are somebody's."""

    tags: ClassVar[dict[str, str]] = {}

    def __init__(self, uri: str) -> None:
        pass

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(experiment_id="1"), data=SimpleNamespace(tags=self.tags))

    def get_experiment(self, experiment_id: str) -> Any:
        return SimpleNamespace(name="../../elsewhere")


@pytest.mark.parametrize("tags", [{}, {"rlsweep.sweep": "../../elsewhere"}])
def test_an_experiment_that_is_no_sweep_names_no_folder(
    tags: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Client, "tags", tags)
    monkeypatch.setattr(sources, "MlflowClient", _Client)
    with pytest.raises(RunError, match="which is no sweep"):
        sources.run_name_of("runs:/1/policy", Storage(tmp_path))


@pytest.mark.parametrize("sweep", ["../outside", "/outside", "..", "", 7, None])
def test_a_bundle_names_no_run_outside_of_the_storage(tmp_path: Path, sweep: Any) -> None:
    for folder in (tmp_path, tmp_path / "outside"):  # where there is a run for it to find
        folder.mkdir(exist_ok=True)
        record = TrialRecord("t", "c", {}, 0, "h", mlflow_run_id="of somebody else")
        Manifest("x", {}, "", "", "", [], "", "", {}, [record]).write(RunLayout(folder))
    bundle = SimpleNamespace(origin={"sweep": sweep, "trial": "t"})
    with pytest.raises(UsageError, match="is not in"):
        sources.mlflow_run_of(sources.PolicySource("b", "b", bundle), Storage(tmp_path / "runs"))
