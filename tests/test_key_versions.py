"""A library named in store.key_versions is part of the keys of the stages that depend on it, and of no other."""

from __future__ import annotations

import json

import pytest

from cspine.errors import CspineError
from cspine.fingerprint import fingerprint, module_digests
from cspine.store import key_of, key_versions
from cspine.store.differing import departures
from cspine.store.key_versions import announce, versions_of


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(key_versions.VARIABLE, "[]")


def test_without_names_no_version_is_in_any_key() -> None:
    assert versions_of("train", "slice_cnn") == {} == versions_of("ingest")


def test_a_named_library_counts_where_the_stages_code_imports_it() -> None:
    announce(["timm", "opencv-python-headless"])
    assert set(versions_of("train", "slice_cnn")) >= {"timm"}
    assert versions_of("assign_folds") == {}
    assert set(versions_of("ingest")) == {"opencv-python-headless"}  # imported as cv2


def test_a_library_that_nothing_imports_counts_everywhere() -> None:
    announce(["pytest"])
    assert set(versions_of("assign_folds")) == set(versions_of("train", "slice_cnn")) == {"pytest"}


def test_a_library_that_is_not_installed_is_an_error_that_names_the_config_key() -> None:
    with pytest.raises(CspineError, match=r"store.key_versions: found 'torhc', which is not installed"):
        announce(["torhc"])


def test_another_version_is_another_key_and_a_reason_to_make_the_result_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(versions: dict[str, str]) -> str:
        return key_of("train", "c", {}, {}, "", versions)

    assert len({key({}), key({"torch": "2.4"}), key({"torch": "2.5"})}) == 3
    monkeypatch.setenv(key_versions.VARIABLE, json.dumps(["pandas"]))
    now = versions_of("assign_folds")
    record = {"stage": "assign_folds", "config": {}, "code": fingerprint("assign_folds"), "versions_in_key": now}
    record["modules"] = module_digests("assign_folds")
    assert departures(record, "", lambda stage, **at: {}) == []
    record["versions_in_key"] = {"pandas": "1.0"}
    assert departures(record, "", lambda stage, **at: {}) == [f"versions: pandas 1.0 -> {now['pandas']}"]
    record["versions_in_key"] = {}
    assert departures(record, "", lambda stage, **at: {}) == [f"versions: pandas (none) -> {now['pandas']}"]
