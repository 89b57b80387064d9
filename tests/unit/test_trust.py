"""Checkpoints that others could have written are not loaded, however they could."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlsweep.errors import PreflightError
from rlsweep.run.going_on import check_checkpoints
from rlsweep.run.manifest import Continuation
from rlsweep.store import trust
from rlsweep.store.layout import RunLayout, Storage
from rlsweep.store.manifest import FINISHED, INTERRUPTED, Manifest, TrialRecord

STORAGE = "folder/runs"
TRIAL = f"{STORAGE}/sweep/t"
CHECKPOINT = f"{TRIAL}/checkpoint_000001"
STATE = f"{CHECKPOINT}/algorithm/state.pkl"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a storage in it that only its owner can write to."""
    (tmp_path / CHECKPOINT / "algorithm").mkdir(parents=True)
    (tmp_path / STATE).write_bytes(b"state")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return tmp_path


@pytest.fixture(autouse=True)
def _forget_groups() -> Iterator[None]:
    trust._group.cache_clear()
    yield
    trust._group.cache_clear()


def check(place: Path, checkpoint: str = CHECKPOINT) -> None:
    trust.check_trusted([place / checkpoint], place / STORAGE)


def refusal(place: Path, checkpoint: str = CHECKPOINT) -> str:
    with pytest.raises(PreflightError) as caught:
        check(place, checkpoint)
    assert caught.value.exit_code == 4
    assert "--trust" in str(caught.value)
    return str(caught.value)


def test_what_only_its_owner_can_write_is_trusted(place: Path) -> None:
    check(place)
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    check(place)


EVERY_PLACE = [STORAGE, f"{STORAGE}/sweep", TRIAL, CHECKPOINT, f"{CHECKPOINT}/algorithm", STATE]


@pytest.mark.parametrize("path", [*EVERY_PLACE, "folder"])
def test_what_everybody_can_write_is_refused_and_named(place: Path, path: str) -> None:
    (place / path).chmod(0o777)
    text = refusal(place)
    assert f"{place / path}: everyone can write there" in text
    assert f"chmod -R go-w {place / STORAGE}" in text


@pytest.mark.parametrize("path", EVERY_PLACE)
def test_a_sticky_folder_is_fine_above_the_storage_only(place: Path, path: str) -> None:
    (place / "folder").chmod(0o1777)
    check(place)
    (place / path).chmod(0o1777)
    assert f"{place / path}: everyone" in refusal(place)


def test_a_relative_path_is_looked_at_up_to_the_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / STORAGE)
    trust.check_trusted([Path("sweep/t/checkpoint_000001")], Path())
    (place / "folder").chmod(0o777)
    with pytest.raises(PreflightError, match="folder: everyone"):
        trust.check_trusted([Path("sweep/t/checkpoint_000001")], Path())


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says who is in every group: by the group's list, and by their own entry."""

    def set_members(listed: list[str], primary: list[str]) -> None:
        def entry(_: int) -> SimpleNamespace:
            return SimpleNamespace(gr_name="lab", gr_mem=listed)

        def users() -> list[SimpleNamespace]:
            return [SimpleNamespace(pw_name=name, pw_gid=os.getegid()) for name in primary]

        monkeypatch.setattr("grp.getgrgid", entry)
        monkeypatch.setattr("pwd.getpwall", users)

    return set_members


@pytest.mark.parametrize(("listed", "primary"), [(["bob"], []), ([], ["bob"]), (["bob"], ["bob"])])
@pytest.mark.parametrize("path", [*EVERY_PLACE, "folder"])
def test_a_group_with_other_members_is_refused_and_they_are_named(
    place: Path, groups: Callable[..., None], path: str, listed: list[str], primary: list[str]
) -> None:
    groups(listed, primary)
    check(place)
    (place / path).chmod(0o770)
    assert f"{place / path}: group lab (bob) can write there" in refusal(place)


def test_a_group_of_ones_own_is_fine(place: Path, groups: Callable[..., None]) -> None:
    me = trust._user(os.geteuid())
    groups(["root", me], [me])
    for path in place.rglob("*"):
        path.chmod(0o775 if path.is_dir() else 0o664)
    check(place)


def test_a_group_that_nobody_knows_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr("grp.getgrgid", unknown)
    (place / STATE).chmod(0o660)
    assert f"{place / STATE}: group {os.getegid()} can write there" in refusal(place)


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes another user the owner of a path."""

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, 54321, -1, follow_symlinks=False)
            return
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # what is mine is another's then

    return give


@pytest.mark.parametrize("path", EVERY_PLACE)
def test_what_belongs_to_another_is_refused(place: Path, give_away: Callable[..., None], path: str) -> None:
    give_away(place / path)
    assert f"{place / path}: its owner " in refusal(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give one folder away and keep the rest")
def test_above_the_storage_owners_are_not_asked_for(place: Path) -> None:
    os.chown(place / "folder", 54321, -1)
    check(place)


def test_an_access_control_list_counts(place: Path) -> None:
    entries = [(1, 6, -1), (2, 6, 54321), (4, 0, -1), (0x10, 6, -1), (0x20, 0, -1)]
    packed = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, permissions, number & 0xFFFFFFFF) for tag, permissions, number in entries
    )
    try:
        os.setxattr(place / STATE, "system.posix_acl_access", packed)
    except (AttributeError, OSError) as error:
        pytest.skip(f"this file system has none: {error}")
    assert f"{place / STATE}: somebody in its access-control list" in refusal(place)


def test_a_link_in_a_checkpoint_is_refused(place: Path) -> None:
    (place / "elsewhere").write_bytes(b"state")
    (place / STATE).unlink()
    (place / STATE).symlink_to(place / "elsewhere")
    assert f"{place / STATE}: whoever owns what this link leads to" in refusal(place)


def test_a_link_to_a_folder_in_a_checkpoint_is_refused(place: Path) -> None:
    (place / CHECKPOINT / "more").symlink_to(place / "folder", target_is_directory=True)
    assert "more: whoever owns what this link leads to" in refusal(place)


@pytest.mark.parametrize("path", [CHECKPOINT, TRIAL, f"{STORAGE}/sweep", STORAGE])
def test_a_link_on_the_way_leads_to_what_is_looked_at_in_turn(place: Path, path: str) -> None:
    target = place / "moved" / "here"
    target.parent.mkdir(mode=0o700)
    (place / path).rename(target)
    (place / path).symlink_to(os.path.relpath(target, (place / path).parent), target_is_directory=True)
    check(place)
    target.chmod(0o777)
    assert "here: everyone" in refusal(place)
    target.chmod(0o700)
    target.parent.chmod(0o777)
    assert "moved: everyone" in refusal(place)


def test_a_link_of_somebody_elses_is_refused(place: Path, give_away: Callable[..., None]) -> None:
    (place / TRIAL).rename(place / "moved")
    (place / TRIAL).symlink_to(place / "moved", target_is_directory=True)
    give_away(place / TRIAL)
    assert f"{place / TRIAL}: its owner" in refusal(place)


def test_many_places_are_counted(place: Path) -> None:
    for number in range(9):
        (place / CHECKPOINT / f"file{number}").touch()
        (place / CHECKPOINT / f"file{number}").chmod(0o666)
    text = refusal(place)
    assert text.count("everyone can write there") == 5
    assert "and 4 more places" in text


def going_on(place: Path, status: str, trial_id: str = "t") -> None:
    """The check of a sweep that begins again with one trial."""
    record = TrialRecord(trial_id, "c", {}, 0, "h", status=status)
    manifest = Manifest("sweep", {}, "", "", "", [], "", "", {}, [record])
    storage = Storage(place / STORAGE)
    check_checkpoints(storage.run("sweep"), storage, Continuation(manifest, [record], [], []))


def test_a_sweep_looks_at_what_its_trials_will_load(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    going_on(place, INTERRUPTED)
    (place / STATE).chmod(0o666)
    with pytest.raises(PreflightError, match=r"state\.pkl: everyone"):
        going_on(place, INTERRUPTED)
    assert not caplog.messages
    going_on(place, FINISHED)


def test_checkpoints_laid_into_a_trial_that_never_ran_are_looked_at(place: Path) -> None:
    (place / TRIAL).chmod(0o777)
    with pytest.raises(PreflightError, match="t: everyone"):
        going_on(place, FINISHED, "another")


def test_a_run_that_another_begins_from_is_looked_at_as_a_whole(place: Path) -> None:
    storage = Storage(place / STORAGE)
    check_checkpoints(storage.run("sweep"), storage)
    (place / STATE).chmod(0o666)
    with pytest.raises(PreflightError, match=r"state\.pkl: everyone"):
        check_checkpoints(storage.run("sweep"), storage)


def test_a_sweep_that_begins_where_others_can_write_says_so(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    going_on(place, FINISHED)
    assert not caplog.messages
    (place / STORAGE).chmod(0o777)
    going_on(place, FINISHED)
    assert f"{place / STORAGE}: everyone can write there" in caplog.text


def test_a_trial_folder_that_is_a_link_is_found(place: Path) -> None:
    (place / TRIAL).rename(place / "moved")
    (place / TRIAL).symlink_to(place / "moved", target_is_directory=True)
    assert RunLayout(place / STORAGE / "sweep").checkpoints("t") == []
    (place / "moved").chmod(0o777)
    with pytest.raises(PreflightError, match="moved: everyone"):
        going_on(place, INTERRUPTED)
