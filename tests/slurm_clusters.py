"""A Slurm cluster on this machine: a real slurmctld, a real slurmd, one node that only says it has a GPU.

Needs root and Debian's slurmctld, slurmd, slurm-client and munge (`make slurm-packages`). Slurm's programs look for
their configuration in one place only, so there is one such cluster on a machine at a time, and none where there is a
real one already.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo")
ETC = Path("/etc/slurm")
OURS = "# of the tests of cspine: stop its daemons and delete this file if it is left behind\n"
START_SECONDS = 60
LIMIT_SECONDS = 900  # for everything that is done on one cluster: what hangs is killed then, whatever Slurm waits for
#: the plugin's pace, for jobs of seconds instead of hours
PACE = (
    "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1", "--slurm-no-account",
    "--slurm-keep-successful-logs",
)  # fmt: skip
CONF = """\
{ours}ClusterName=cspine
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""


class NoClusterError(Exception):
    """Slurm is installed, but its daemons do not come up on this machine."""


class Cluster:
    """The daemons of one cluster, and what a user would ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ends = folder, time.monotonic() + LIMIT_SECONDS

    def left(self) -> float:
        """Seconds until what is still done on it has to end."""
        return max(1.0, self._ends - time.monotonic())

    def start(self) -> None:
        """munged, slurmctld and slurmd; returns when the node is idle."""
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        place = {name: f"--{name}={self.folder / 'munge' / name}" for name in ("log-file", "seed-file")}
        pid, at = f"--pid-file={self.folder / 'munged.pid'}", f"--socket={self.folder / 'munge.socket'}"
        _run("munged", "--force", f"--key-file={key}", at, pid, *place.values())
        _run("slurmctld")
        self.start_node()

    def start_node(self) -> None:
        """slurmd, until the node takes jobs."""
        _run("slurmd")
        until(lambda: self.says("sinfo", "--noheader", "--format", "%T") in ("idle", "mixed"), START_SECONDS)

    def stop_node(self) -> None:
        """slurmd alone: what runs on the node goes on without it."""
        _ended(self.folder / "slurmd.pid")

    def stop(self) -> None:
        """Every job and every daemon, by their numbers."""
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("scancel", "--user", "root", "--signal", "KILL")
            _run("scancel", "--user", "root")
            until(lambda: not self.says("squeue", "--noheader"), START_SECONDS)
        for daemon in ("slurmd", "slurmctld", "munged"):
            _ended(self.folder / f"{daemon}.pid")

    @staticmethod
    def says(*call: str) -> str:
        """What one of Slurm's programs prints."""
        return subprocess.run(call, capture_output=True, text=True, timeout=START_SECONDS).stdout.strip()

    def submitted(self) -> dict[int, dict[str, str]]:
        """Every job so far by its number, as ``scontrol show job`` has it."""
        lines = self.says("scontrol", "--oneliner", "show", "job").splitlines()
        jobs = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {int(job["JobId"]): job for job in jobs if "JobId" in job}


def why_not() -> str:
    """Why there can be no cluster on this machine; "" if there can."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if os.geteuid() != 0:
        return "Slurm's daemons need root here"
    if missing:
        return f"{', '.join(missing)} not installed: make slurm-packages"
    conf = ETC / "slurm.conf"
    if conf.exists() and not conf.read_text(encoding="utf-8").startswith(OURS):
        return f"{conf} is a real cluster's"
    return ""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster for as long as the block lasts; its state lies in ``folder``, its configuration where it has to.

    Raises:
        NoClusterError: a daemon does not start, or the node does not become idle.
    """
    ETC.mkdir(exist_ok=True)
    files = [ETC / name for name in ("slurm.conf", "gres.conf", "cgroup.conf")]
    with (ETC / "cspine-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        host, (ctld, d) = os.uname().nodename, _free_ports()
        files[0].write_text(CONF.format(ours=OURS, host=host, folder=folder, ctld_port=ctld, d_port=d))
        files[1].write_text(f"{OURS}Name=gpu File=/dev/null\n")
        files[2].write_text(f"{OURS}CgroupAutomount=no\n")
        made = Cluster(folder)
        try:
            _started(made)
            yield made
        finally:
            made.stop()
            for file in files:
                file.unlink()


def _started(made: Cluster) -> None:
    try:
        made.start()
    except (subprocess.SubprocessError, AssertionError) as error:
        said = [line for log in made.folder.glob("*.log") for line in log.read_text(errors="replace").splitlines()[-3:]]
        raise NoClusterError("; ".join([f"Slurm does not start here: {error}", *said])) from error


def until(true: Callable[[], bool], seconds: float) -> None:
    """Look again until it is so; an AssertionError ends what hangs."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def _run(*call: str) -> None:
    subprocess.run(call, check=True, capture_output=True, text=True, timeout=START_SECONDS)


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _ended(pid_file: Path) -> None:
    """Ask the daemon of a pid file to end, and wait until it has."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(AssertionError):
            until(lambda: not _alive(pid), 20)
            pid_file.unlink(missing_ok=True)
            return


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").is_dir()
