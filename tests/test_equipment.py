"""What an image lacks is brought, what it has stays: from wheels at hand, else from where pip gets its packages."""

from __future__ import annotations

import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from cspine import equipment, mounts
from cspine.cli import main
from cspine.store import records
from wheel_installs import BLOCKED, Installed, fresh_python, installed

TAG = "py3-none-any"


def wheel(folder: Path, name: str, version: str = "1.0", requires: tuple[str, ...] = (), tag: str = TAG) -> Path:
    """A wheel of one empty module."""
    folder.mkdir(parents=True, exist_ok=True)
    path, info = folder / f"{name}-{version}-{tag}.whl", f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def chosen(wanted: list[str], wheels: list[Path]) -> tuple[list[str], list[str]]:
    paths, unmet = equipment.chosen(equipment.lacking(wanted), wheels)
    return [path.name for path in paths], unmet


def test_what_is_there_in_its_range_is_not_lacking() -> None:
    newer = f"numpy>{metadata.version('numpy')}"
    wanted = ["numpy>=1.26", newer, "absent-a>=2", "absent-b; python_version < '3'", "absent-c; extra == 'more'"]
    assert [str(requirement) for requirement in equipment.lacking(wanted)] == [newer, "absent-a>=2"]
    assert equipment.lacking(equipment.needed()) == []


def test_what_an_extra_of_an_installed_package_asks_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"pytest": ["absent-a; extra == 'more'", "absent-b; extra == 'other'", "absent-c"]}
    monkeypatch.setattr(metadata, "requires", lambda name: needs[name])
    assert [str(r.name) for r in equipment.lacking(["pytest[more]"])] == ["absent-a"]


def test_another_opencv_stands_in_for_the_headless_one(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"opencv-contrib-python": "4.11.0.86"}
    monkeypatch.setattr(equipment, "_version", versions.get)
    assert equipment.lacking(["opencv-python-headless>=4.9.0.80"]) == []
    assert len(equipment.lacking(["opencv-python-headless>=5"])) == 1


def test_the_newest_wheel_in_range_that_fits_this_python_is_chosen_with_all_it_needs(tmp_path: Path) -> None:
    wheels = [
        wheel(tmp_path, "absent_a", "1.0", ("absent-b>=2", "numpy")),
        wheel(tmp_path, "absent_a", "1.2", ("absent-b>=2", "numpy")),
        wheel(tmp_path, "absent_a", "3.0"),
        wheel(tmp_path, "absent_a", "1.9", tag="cp27-cp27m-win32"),
        wheel(tmp_path, "absent_b", "2.1", ("absent-c; extra == 'more'",)),
        wheel(tmp_path, "absent_b", "1.9"),
        wheel(tmp_path, "unrelated"),
        tmp_path / "not a wheel.whl",
    ]
    assert chosen(["absent-a<2"], wheels) == ([f"absent_a-1.2-{TAG}.whl", f"absent_b-2.1-{TAG}.whl"], [])
    assert chosen(["absent-a<2", "absent-d"], wheels[1:2]) == ([f"absent_a-1.2-{TAG}.whl"], ["absent-d", "absent-b>=2"])


def test_no_wheel_of_torch_or_numpy_is_ever_chosen(tmp_path: Path) -> None:
    wheels = [wheel(tmp_path, "numpy", "99.0"), wheel(tmp_path, "absent_a", requires=("numpy>=99",))]
    assert chosen(["absent-a"], wheels)[1] == ["numpy>=99"]


def test_an_image_with_an_old_torch_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wheel(tmp_path, "torch", "99.0")
    assert main(["equip", "--requires", "torch>=99", "--wheels", str(tmp_path)]) == 1
    assert "only the image's own fits its GPU; choose a newer image" in capsys.readouterr().err


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    shared = installed(tmp_path_factory)
    python = fresh_python(tmp_path_factory.mktemp("image") / "venv")
    own = Installed(shared.wheel, python, shared.blocker)
    own.run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", own.wheel)
    return own


def test_nothing_is_installed_where_nothing_is_missing(image: Installed) -> None:
    assert image.run("-m", "cspine", "equip").startswith("nothing is missing; torch==")


def test_wheels_at_hand_are_installed_and_others_left_alone(image: Installed, tmp_path: Path) -> None:
    wheel(tmp_path / "deep/wheels", "near_a", requires=("near-b",))
    wheel(tmp_path / "other", "near_b")
    wheel(tmp_path / "other", "unrelated")
    printed = image.run("-m", "cspine", "equip", "--requires", "near-a>=1", "--wheels", tmp_path)
    assert f"installed: near_a-1.0-{TAG}.whl near_b-1.0-{TAG}.whl" in printed
    image.run("-c", "import near_a, near_b")
    image.run("-c", "import unrelated", ok=False)


def test_what_pip_can_get_is_kept_for_a_session_that_cannot(image: Installed, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"  # instead of a package index
    wheel(shelf, "far_a", requires=("far-b", "numpy"))
    wheel(shelf, "far_b")
    wheel(shelf, "numpy", "99.0")
    words = ("-m", "cspine", "equip", "--requires", "far-a", "--keep", str(tmp_path / "kept"))
    image.run(*words, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(shelf))
    image.run("-c", "import far_a, far_b")
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {f"far_a-1.0-{TAG}.whl", f"far_b-1.0-{TAG}.whl"}


def test_without_wheels_and_network_one_sentence_says_what_is_missing_and_how_to_bring_it(
    image: Installed, tmp_path: Path
) -> None:
    printed = image.run("-m", "cspine", "equip", "--requires", "absent-a>=2", "--wheels", tmp_path, ok=False)
    said = printed.strip().splitlines()[-1]
    assert said.startswith(f"equip: error: this Python lacks absent-a>=2; found no wheels of them below {tmp_path}, ")
    assert "Turn the session's internet on; or, in a session that has it, run" in said
    assert "Traceback" not in printed and BLOCKED in printed


def test_sessions_are_found_at_any_depth_but_not_inside_images(workplace: Path) -> None:
    for place in ("a/deep/work", "b/work", "data/train_images/1/work"):
        folder = workplace / place / "assign_folds/key"
        folder.mkdir(parents=True)
        (folder / records.DONE).write_text("{}")
    (workplace / "c/work").mkdir(parents=True)  # somebody else's
    (workplace / "c/other.tar").write_text("no archive")
    assert mounts.sessions(workplace) == [str(workplace / "a/deep/work"), str(workplace / "b/work")]
