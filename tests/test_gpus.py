"""Two trainings never share a GPU by accident: with an nvidia-smi that is made up, and processes that are real."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cspine import gpu_pool, gpus, pausing, peers, running, runtime
from cspine.cli import main
from cspine.errors import CspineError
from cspine.signature import known_stages, signature_of
from cspine.workflow import gpu_of_a_job

TWO = """\
GPU 0: NVIDIA RTX A5000 (UUID: GPU-aaaa0000-1111-2222-3333-444455556666)
GPU 1: NVIDIA RTX A5000 (UUID: GPU-bbbb0000-1111-2222-3333-444455556666)
"""
SPLIT = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-cccc0000-1111-2222-3333-444455556666)
  MIG 3g.20gb     Device  0: (UUID: MIG-d0d0d0d0-1111-5222-8333-444455556666)
  MIG 1g.5gb      Device  1: (UUID: MIG-e1e1e1e1-1111-5222-8333-444455556666)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-ffff0000-1111-2222-3333-444455556666)
"""
#: holds a GPU until its input ends, as a training would
HOLDER = """
import os, sys
from cspine.gpu_pool import gpus_for
with gpus_for("train"):
    print(os.environ.get("CUDA_VISIBLE_DEVICES", "unset"), flush=True)
    sys.stdin.read()
"""

Machine = Callable[..., None]  # what nvidia-smi is to print, and the status it is to end with


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with the devices that ``nvidia-smi -L`` is to list, and locks of its own."""
    for name in (gpus.VISIBLE, runtime.VARIABLE, runtime.MAIN_PROCESS, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(gpu_pool.LOCKS, str(tmp_path / "locks"))

    def lists(devices: str, status: int = 0) -> None:
        (tmp_path / "listed").write_text(devices)
        asked = tmp_path / "asked"
        program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\ncat {tmp_path / "listed"}\nexit {status}\n')
        program.chmod(0o755)

    return lists


@pytest.fixture
def holder() -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts processes that hold a GPU."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", HOLDER], text=True, **options))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(stream: object) -> str:
    return stream.readline().strip()  # type: ignore[attr-defined]


def chosen() -> list[str]:
    return [device.uuid[:8] for device in gpus.choice()]


def test_two_processes_get_two_gpus_and_a_third_that_of_the_one_that_is_killed(
    machine: Machine, holder: Callable[[], subprocess.Popen[str]]
) -> None:
    machine(TWO)
    first, second = holder(), holder()
    seen = {process: line(process.stdout) for process in (first, second)}
    assert sorted(uuid[:8] for uuid in seen.values()) == ["GPU-aaaa", "GPU-bbbb"]
    third = holder()
    words = line(third.stderr)
    assert words.startswith(
        "train: waits for a GPU: GPU 0 (GPU-aaaa0000-1111-2222-3333-444455556666) is used by process "
    )
    assert all(f"process {process.pid} on " in words for process in seen)
    second.send_signal(signal.SIGKILL)
    assert line(third.stdout) == seen[second]
    assert line(third.stderr).endswith("one of 2") and first.poll() is None


def test_two_gpus_of_one_job_are_its_two_processes_and_another_job_waits_for_both(
    machine: Machine, holder: Callable[[], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(TWO)
    (tmp_path / "stop").write_text("by a test")
    for wanted in (2, "auto"):
        with gpu_pool.gpus_for("train", wanted) as places:
            assert [place[gpus.VISIBLE][:8] for place in places] == ["GPU-aaaa", "GPU-bbbb"]
            assert os.environ[gpus.VISIBLE] == places[0][gpus.VISIBLE]
    first = holder()
    line(first.stdout)
    monkeypatch.setenv(pausing.STOP, str(tmp_path / "stop"))
    with pytest.raises(pausing.Paused), gpu_pool.gpus_for("train", 2):
        raise AssertionError("a GPU of another")
    with gpu_pool.gpus_for("train"):
        assert os.environ[gpus.VISIBLE].startswith("GPU-bbbb")  # which the one that waited in vain has not kept


def test_more_devices_than_there_are_is_answered_with_their_number(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO)
    with pytest.raises(CspineError, match=r"runtime.devices: 3, but this job can choose from 2 GPUs"):
        gpu_pool.gpus_for("train", 3).__enter__()
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv(gpus.VISIBLE, "1")
    with pytest.raises(CspineError, match=r"runtime.devices: 2, but this job can choose from 1 GPU "):
        gpu_pool.gpus_for("train", 2).__enter__()


def test_on_a_cpu_as_many_processes_as_are_asked_for_and_auto_is_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO)
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
    for wanted, count in ((1, 1), (3, 3), ("auto", 1)):
        with gpu_pool.gpus_for("train", wanted) as places:
            assert places == [{}] * count


def test_where_torchrun_has_started_the_processes_none_is_started_and_no_gpu_chosen(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(TWO)
    monkeypatch.setenv(peers.SIZE, "4")
    with gpu_pool.gpus_for("train", 2) as places:
        assert places == [{}] and gpus.VISIBLE not in os.environ
    assert not (tmp_path / "asked").exists()


def test_a_gpu_is_free_again_when_the_stage_has_ended(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    machine(TWO)
    for _ in range(2):
        with gpu_pool.gpus_for("predict_slices"):
            assert os.environ[gpus.VISIBLE].startswith("GPU-aaaa")
        assert gpus.VISIBLE not in os.environ
    assert (
        capfd.readouterr().err.count("predict_slices: on GPU 0 (GPU-aaaa0000-1111-2222-3333-444455556666), one of 2")
        == 2
    )


def test_a_process_that_waits_for_a_gpu_stops_when_it_is_asked_to(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO.splitlines()[0])
    (tmp_path / "stop").write_text("by a test")
    with gpu_pool.gpus_for("train"):
        monkeypatch.setenv(pausing.STOP, str(tmp_path / "stop"))
        with pytest.raises(pausing.Paused), gpu_pool.gpus_for("train"):
            raise AssertionError("two on one GPU")


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        ("1", ["GPU-bbbb"]),
        ("1, 0", ["GPU-bbbb", "GPU-aaaa"]),
        ("GPU-bbbb", ["GPU-bbbb"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["GPU-aaaa"]),  # CUDA stops at the first name that fits none
        ("GPU-", []),  # the beginning of two
        ("7", []),
    ],
)
def test_what_the_user_lets_cuda_see_limits_the_choice(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, shown: str, left: list[str]
) -> None:
    machine(TWO)
    monkeypatch.setenv(gpus.VISIBLE, shown)
    assert chosen() == left
    if not left:
        with gpu_pool.gpus_for("train"):
            assert os.environ[gpus.VISIBLE] == shown


def test_a_device_asked_for_by_number_is_that_one_and_then_the_only_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO)
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cuda:1", "loader_workers": 2}')
    with gpu_pool.gpus_for("train"):
        assert os.environ[gpus.VISIBLE].startswith("GPU-bbbb")
        assert runtime.runtime().device == "cuda" and runtime.runtime().loader_workers == 2
    assert runtime.runtime().device == "cuda:1"
    monkeypatch.setenv(gpus.VISIBLE, "1,0")
    assert chosen() == ["GPU-aaaa"]  # torch counts what CUDA shows it


def test_what_slurm_picked_is_left_alone_and_what_it_gave_to_share_is_shared_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(TWO)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv(gpus.VISIBLE, "1")
    with gpu_pool.gpus_for("train"), gpu_pool.gpus_for("train"):
        assert os.environ[gpus.VISIBLE] == "1"
    assert not (tmp_path / "asked").exists() and not (tmp_path / "locks").exists()
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    with gpu_pool.gpus_for("train"):
        assert os.environ[gpus.VISIBLE].startswith("GPU-aaaa")


def test_a_run_on_the_cpu_never_asks(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(TWO)
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
    with gpu_pool.gpus_for("train"):
        assert gpus.VISIBLE not in os.environ
    assert not (tmp_path / "asked").exists()


def test_without_nvidia_smi_or_with_one_that_fails_nothing_happens(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", status=9)
    with gpu_pool.gpus_for("train"):
        assert gpus.VISIBLE not in os.environ
    monkeypatch.setenv("PATH", "")
    assert gpus.devices() == []


def test_an_nvidia_smi_that_does_not_answer_is_given_up(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(TWO)
    (tmp_path / "bin/nvidia-smi").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(gpus, "ANSWER_SECONDS", 0.2)
    assert gpus.choice() == [] and "nvidia-smi does not answer" in capsys.readouterr().err


def test_of_a_gpu_that_is_split_the_parts_are_the_devices(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(SPLIT)
    parts = ["MIG-d0d0", "MIG-e1e1"]
    assert chosen() == [*parts, "GPU-ffff"]
    assert str(gpus.choice()[1]) == "GPU 0 MIG 1g.5gb (MIG-e1e1e1e1-1111-5222-8333-444455556666)"
    for shown, left in (("0", parts), ("GPU-cccc", parts), ("MIG-e1e1", parts[1:]), ("1", ["GPU-ffff"])):
        monkeypatch.setenv(gpus.VISIBLE, shown)
        assert chosen() == left, shown


def test_the_locks_are_for_every_user_whatever_the_umask(machine: Machine, tmp_path: Path) -> None:
    machine(TWO)
    before = os.umask(0o077)
    try:
        with gpu_pool.gpus_for("train"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "locks").iterdir()] == [0o666]


def test_a_lock_that_was_tidied_away_is_not_taken_for_the_one_at_its_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO.splitlines()[0])
    opened, replaced = gpu_pool._opened, list[Path]()

    def too_late(path: Path) -> int:
        descriptor = opened(path)
        if not replaced:
            path.unlink()
            path.touch()  # another process made a new one
            replaced.append(path)
        return descriptor

    monkeypatch.setattr(gpu_pool, "_opened", too_late)
    with gpu_pool.gpus_for("train"), replaced[0].open() as stream, pytest.raises(BlockingIOError):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_folder_of_the_locks_cannot_be_tidied_away_meanwhile(machine: Machine, tmp_path: Path) -> None:
    machine(TWO)
    with gpu_pool.gpus_for("train"):
        folder = os.open(tmp_path / "locks", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)


def test_a_folder_of_locks_that_cannot_be_used_is_named_with_the_remedy(machine: Machine, tmp_path: Path) -> None:
    machine(TWO)
    (tmp_path / "locks").write_text("a file")
    words = r"locks: Not a directory; .* name another folder in CSPINE_GPU_LOCKS"
    with pytest.raises(CspineError, match=words), gpu_pool.gpus_for("train"):
        pass


def test_the_stages_that_compute_with_torch_use_a_gpu() -> None:
    assert {stage for stage in known_stages() if signature_of(stage).uses_gpu} == {
        "train",
        "predict_slices",
        "predict_studies",
        "explain_cases",
        "predict_localizer",
        "predict_with_bundle",
    }


def test_the_launcher_has_the_gpu_before_it_imports_the_stage_and_gives_it_back(
    machine: Machine, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(TWO)
    seen: list[str] = []

    def imported(_: str) -> None:
        seen.append(os.environ[gpus.VISIBLE])
        raise CspineError("enough")

    monkeypatch.setattr(running, "function_of", imported)
    Path("input").touch()
    files = [word for name in ("models", "slices", "shards") for word in (f"--{name}", "input")]
    for _ in range(2):
        assert main(["predict_slices", *files, "--predictions", "out", "--config", '{"family": "slice_cnn"}']) == 1
    assert [uuid[:8] for uuid in seen] == ["GPU-aaaa"] * 2 and gpus.VISIBLE not in os.environ
    log = next(Path("work/predict_slices").glob("*/log.txt")).read_text(encoding="utf-8")
    assert log.count("predict_slices: on GPU 0 (GPU-aaaa0000-1111-2222-3333-444455556666), one of 2") == 2


@pytest.mark.parametrize(
    ("device", "elsewhere", "taken"),
    [("auto", False, 0), ("cpu", False, 0), ("cuda", False, 1), ("auto", True, 1)],
)
def test_a_job_takes_a_gpu_where_there_may_be_one(
    device: str, elsewhere: bool, taken: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_of_a_job(device, elsewhere) == taken
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert gpu_of_a_job(device, elsewhere) == (0 if device == "cpu" else 1)
