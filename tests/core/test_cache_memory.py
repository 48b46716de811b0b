"""The memory tier: bounded, keeps what is dear per byte, and notices who wrote into a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_core.cache import Cache
from pipeline_core.cache.memory import OVERHEAD
from pipeline_core.image import Image

ONE = 32 * 32 * 3 * 4 + OVERHEAD


@dataclass(frozen=True)
class Options:
    values: dict[str, Any]


def image(seed: int, size: int = 32) -> Image:
    return Image(np.random.default_rng(seed).random((1, size, size, 3), np.float32))


def put(cache: Cache, key: str, value: Any, recompute: float = 1.0) -> None:
    cache.store(key=key, operation_key="op", values=(value,), seconds=recompute, recompute_seconds=recompute)


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def cache(warnings: list[str]) -> Iterator[Cache]:
    with Cache.open(None, memory=4 * ONE, warn=warnings.append) as opened:
        yield opened


def held(cache: Cache) -> str:
    return "".join(sorted(cache.find_many("abcdefgh")))


def test_a_value_is_found_and_is_the_very_one(cache: Cache) -> None:
    value = image(1)
    put(cache, "a", value)
    found = cache.find("a")
    assert found is not None
    assert found.digests == ()
    loaded = cache.load(found)
    assert loaded is not None
    assert loaded[0] is value
    assert (cache.session.hits, cache.session.misses, cache.session.seconds_saved) == (1, 1, 1.0)


def test_the_cheapest_per_byte_goes_first(cache: Cache) -> None:
    for key, seconds in (("a", 5.0), ("b", 1.0), ("c", 3.0), ("d", 4.0)):
        put(cache, key, image(1), seconds)
    assert held(cache) == "abcd"
    put(cache, "e", image(1), 2.0)
    assert held(cache) == "acde"
    put(cache, "f", image(1, 45), 9.0)  # twice the bytes
    assert held(cache) == "adf"
    assert cache._memory.nbytes() <= 4 * ONE  # type: ignore[union-attr]


def test_what_is_not_asked_for_ages(cache: Cache) -> None:
    put(cache, "a", image(1), 3.0)
    for number in range(40):  # each comes and goes, and lifts the floor
        put(cache, "bcdefgh"[number % 7], image(2), 1.0)
    assert "a" not in held(cache)


def test_what_is_asked_for_stays(cache: Cache) -> None:
    put(cache, "a", image(1), 3.0)
    for number in range(40):
        put(cache, "bcdefgh"[number % 7], image(2), 1.0)
        assert cache.load(cache.find("a")) is not None  # type: ignore[arg-type]
    assert "a" in held(cache)


def test_too_large_a_value_pushes_nobody_out(cache: Cache) -> None:
    put(cache, "a", image(1))
    put(cache, "b", image(1, 500), 1e6)
    assert held(cache) == "a"


def test_a_value_written_to_is_a_miss_with_a_warning(cache: Cache, warnings: list[str]) -> None:
    value = image(1)
    put(cache, "a", value)
    value.buffer[0, 0, 0, 0] += 1
    assert cache.load(cache.find("a"), "grass") is None  # type: ignore[arg-type]
    assert cache.find("a") is None
    assert len(warnings) == 1
    assert "node 'grass'" in warnings[0]
    assert "wrote into" in warnings[0]


def test_plain_values_written_to_are_noticed_too(cache: Cache, warnings: list[str]) -> None:
    value = Options({"x": [1, float("nan")]})
    put(cache, "a", value)
    assert cache.load(cache.find("a")) is not None  # type: ignore[arg-type]
    value.values["x"].append(2)
    assert cache.load(cache.find("a")) is None  # type: ignore[arg-type]
    assert len(warnings) == 1


def test_a_view_of_something_large_does_not_keep_it(cache: Cache, warnings: list[str]) -> None:
    whole = np.zeros((1, 2000, 32, 3), np.float32)
    put(cache, "a", Image(whole[:, :32]))
    whole[:] = 7
    loaded = cache.load(cache.find("a"))  # type: ignore[arg-type]
    assert loaded is not None
    assert loaded[0].buffer.base is None
    assert not loaded[0].buffer.any()
    assert warnings == []


def test_what_can_not_be_taken_apart_is_not_kept(cache: Cache, warnings: list[str]) -> None:
    put(cache, "a", Options({"net": object()}))
    assert held(cache) == ""
    assert warnings == []


def test_what_is_on_disk_as_well_has_digests(tmp_path: Path) -> None:
    with Cache.open(tmp_path) as cache:
        put(cache, "a", image(1))
        cache.flush()
        found = cache.find("a")
        assert found is not None
        assert found.digests == cache.digests((image(1),))


def test_devices_are_counted_apart(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_core.cache.memory._device", lambda given: f"cuda:{int(given[0].buffer[0, 0, 0, 0])}")
    for number, key in enumerate("abcdefgh"):
        put(cache, key, Image(np.full((1, 32, 32, 3), number % 2, np.float32)))
    assert held(cache) == "abcdefgh"
    assert cache._memory.nbytes("cuda:0") == cache._memory.nbytes("cuda:1") == 4 * ONE  # type: ignore[union-attr]
