"""Weights & Biases, behind one module: disabled by default, never more than a warning when it fails.

The figures of a training also land in history.parquet, whether or not this is on. What is sent is the config, the
figures, and tables of counts and scores. Training slices go along when ``tracking.images`` asks for them, study names,
plain or hashed, when ``tracking.ids`` does. No file name, no path, no header, nothing of this machine or its user.
docs/tracking.md says what lies where and what was tried.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from cspine.amounts import pairs_of, wildcards
from cspine.importing.hashed_uids import hashed_uid, new_key, read_key, write_key
from cspine.progress import say
from cspine.store.records import WORK, read_request

VARIABLE = "CSPINE_TRACKING"
PLACE = Path("logs")  # the client makes a folder wandb/ in it
OFFLINE, EARLIER = "offline-run-", "earlier"  # folders of the client, and where those of dead processes go
KEY = WORK / "tracking.key"  # of hashed names; stays on this machine
FINISH_SECONDS = 20.0  # for what is not uploaded yet; `wandb sync` sends the rest later


class Tracker(Protocol):
    """What a stage tells a tracker. A row of figures belongs to a step; told again, a step counts once."""

    images: int  # how many example slices it wants to see
    names_studies: bool  # whether it wants tables of single studies

    def show(self, images: Callable[[], Sequence[Any]]) -> None:
        """Examples of what is taught, uint8 (rows, columns) each; made only when they are wanted."""

    def table(self, name: str, table: Callable[[], Any]) -> None:
        """A data frame; made only when it is wanted."""

    def ids_of(self, uids: Sequence[str]) -> list[str]:
        """The names under which studies appear in such a table."""

    def log(self, figures: dict[str, float], step: int) -> None:
        """Figures of one epoch, or all there are; steps come in order."""

    def finish(self) -> None:
        """The stage is over."""


class Silent:
    """The tracker of a run that is not tracked."""

    images = 0
    names_studies = False

    def show(self, images: Callable[[], Sequence[Any]]) -> None:
        """Nothing."""

    def table(self, name: str, table: Callable[[], Any]) -> None:
        """Nothing."""

    def ids_of(self, uids: Sequence[str]) -> list[str]:
        """No names."""
        return [""] * len(uids)

    def log(self, figures: dict[str, float], step: int) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class WeightsAndBiases:
    """A run at Weights & Biases; an error there is said once and then the stage goes on without.

    Args:
        stage: who tells.
        folder: the store's folder of the result: its name, the key, is the run's id, so a resumed training continues
            its curve, and the same result made again is the same run.
        config: the stage's block.
        block: the ``tracking`` block of the config.
    """

    def __init__(self, stage: str, folder: Path, config: dict[str, Any], block: dict[str, Any]) -> None:
        self.images, self._ids = block.get("images", 0), block.get("ids", "none")
        self.names_studies = self._ids != "none"
        self.run: Any = None
        self._next = 0  # the first step that is not told yet
        self._failed = "tracking is off for this stage"
        self._guarded(lambda: self._begin(stage, folder, config, block), begun=True)
        self._failed = "tracking is off from here on"

    def _begin(self, stage: str, folder: Path, config: dict[str, Any], block: dict[str, Any]) -> None:
        (PLACE / "wandb").mkdir(parents=True, exist_ok=True)  # else the client takes the folder of temporary files
        for name in ("CACHE", "DATA"):  # or it keeps files in the person's home
            os.environ.setdefault(f"WANDB_{name}_DIR", str((PLACE / "wandb" / name.lower()).absolute()))
        import wandb

        mode, at = block.get("mode"), (read_request(folder) or {}).get("at", "")
        if mode == "online" and not wandb.login(prompt=False):  # else the client asks, where nobody may be
            raise ValueError("no API key; set WANDB_API_KEY, or call `wandb login` once, or set tracking.mode: offline")
        named = {"name": f"{stage} {wildcards(at)}", "group": pairs_of(at).get("method")} if at else {"name": stage}
        self.run = wandb.init(
            id=f"{stage}-{folder.name}", resume="allow", mode=mode, project=block.get("project", "cspine"),
            job_type=stage, config=without_paths(config), dir=str(PLACE), settings=_settings(wandb), **named,
        )  # fmt: skip
        self._next = self.run.starting_step  # online a resumed run goes on at the server's; offline each file is whole

    def show(self, images: Callable[[], Sequence[Any]]) -> None:
        """Send example slices, as pixels alone."""

        def send() -> None:
            import wandb

            self._log({"examples": [wandb.Image(image) for image in images()]}, step=0)

        if self.images:
            self._guarded(send)

    def table(self, name: str, table: Callable[[], Any]) -> None:
        """Send a data frame."""

        def send() -> None:
            import wandb

            made: Any = wandb.Table(dataframe=table())
            made._log_type = "file"  # of the run, and not an artifact too, which would note a path of this machine
            self._log({name: made}, step=0)

        self._guarded(send)

    def ids_of(self, uids: Sequence[str]) -> list[str]:
        """The studies' UIDs, or keyed hashes of them."""
        if self._ids == "plain":
            return list(uids)
        key = _key()
        return [hashed_uid(uid, key) for uid in uids]

    def log(self, figures: dict[str, float], step: int) -> None:
        """Send the figures of one epoch, unless an earlier process has."""
        self._guarded(lambda: self._log(figures, step, commit=True))

    def finish(self) -> None:
        """Close the run, and end the client's own process, which writes its file only then."""

        def close() -> None:
            import wandb

            own = Path(self.run.dir).parent
            self.run.finish()
            wandb.teardown()
            if own.name.startswith(OFFLINE):
                _set_aside_earlier(own, self.run.id)

        self._guarded(close)
        self.run = None

    def _log(self, figures: dict[str, Any], step: int, commit: bool = False) -> None:
        if step >= self._next:
            self.run.log(figures, step=step, commit=commit)
            self._next = step + commit

    def _guarded(self, action: Callable[[], None], begun: bool = False) -> None:
        if self.run is None and not begun:
            return
        try:
            action()
        except Exception as error:
            say(f"{self._failed}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
            self.run = None
            _let_go()


def tracker(stage: str, folder: Path, config: dict[str, Any]) -> Tracker:
    """The tracker that the config's ``tracking`` block asks for; ``folder`` is the store's, of the stage's result."""
    try:
        block = json.loads(os.environ.get(VARIABLE, "{}"))
        mode = block.get("mode", "disabled")
    except (ValueError, AttributeError) as error:
        say(f"tracking is off for this stage: {VARIABLE}: {error}")
        return Silent()
    return Silent() if mode == "disabled" else WeightsAndBiases(stage, folder, config, block)


def without_paths(value: Any) -> Any:
    """A config block in which ``a file`` stands for each path: its folders may name a person or a machine."""
    if isinstance(value, dict):
        return {name: without_paths(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner) for inner in value]
    return "a file" if isinstance(value, str) and (os.sep in value or Path(value).is_file()) else value


def _settings(wandb: Any) -> Any:
    return wandb.Settings(
        console="off",  # not what is printed
        host="none", x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True,  # nor the machine
        disable_code=True, disable_git=True, disable_job_creation=True, x_save_requirements=False,  # nor the project
        silent=True,
        finish_timeout=FINISH_SECONDS,
    )  # fmt: skip


def _set_aside_earlier(own: Path, name: str) -> None:
    """Leave only this process's folder to `wandb sync`: it holds what those before it held, and no step twice."""
    aside = own.parent / EARLIER
    for folder in own.parent.glob(f"{OFFLINE}*-{name}"):
        if folder != own:
            aside.mkdir(exist_ok=True)
            folder.rename(aside / folder.name)


def _key() -> bytes:
    """The key of hashed names, made when it is first needed."""
    with contextlib.suppress(FileExistsError):  # there already, or another job was quicker
        write_key(KEY, new_key())
    key = read_key(KEY)
    assert key is not None, KEY
    return key


def _let_go() -> None:
    """Part with the client's own process, or the client complains when Python ends."""
    with contextlib.suppress(Exception):
        import wandb

        wandb.teardown()
