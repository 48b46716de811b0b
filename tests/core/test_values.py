"""Any kind's value: measured, moved, guarded, taken apart and put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_core import File, Image, Mask, Table
from pipeline_core.values import (
    UnstorableError,
    compact,
    dense,
    find_kind,
    fingerprint,
    move,
    nbytes,
    put_together,
    take_apart,
)


@dataclass(frozen=True)
class Layer:
    name: str
    weights: Mapping[str, Any]
    inner: tuple[Any, ...] = ()
    note: float = float("inf")
    raw: bytes = b"\0\xff"
    made: int = field(default=0, init=False)


def layer() -> Layer:
    tensors = {"a": torch.arange(6).reshape(2, 3), "h": torch.ones(3, dtype=torch.bfloat16), "e": torch.zeros(0)}
    return Layer(
        "é", tensors, (np.arange(4, dtype=np.int8), None, [1, True, "x", (Mask(np.ones((1, 2, 2, 1), np.float32)),)])
    )


def test_a_plugins_own_kind_is_taken_apart_and_put_together() -> None:
    tree, parts = take_apart(layer())
    again = put_together(json.loads(json.dumps(tree)), parts)
    assert isinstance(again, Layer)
    assert (again.name, again.note, again.raw) == ("é", float("inf"), b"\0\xff")
    assert torch.equal(again.weights["a"], layer().weights["a"])
    assert again.weights["h"].dtype == torch.bfloat16
    assert again.inner[2][:3] == [1, True, "x"]
    assert type(again.inner[2][1]) is bool
    assert isinstance(again.inner[2][3][0], Mask)


@pytest.mark.parametrize(
    "value",
    [
        Image(np.ones((1, 2, 3, 3), np.uint8), meta={"a": "b"}),
        Table(("a", "b"), ((1, "x"), (None, -0.0))),
        File(b"abc", "text/plain"),
    ],
)
def test_our_kinds_too(value: Any) -> None:
    again = put_together(*take_apart(value))
    assert type(again) is type(value)
    assert str(again) == str(value)


def test_what_can_not_be_stored_is_named() -> None:
    with pytest.raises(UnstorableError, match=r"Layer\.weights\['x'\] is a object"):
        take_apart(Layer("x", {"x": object()}))


@pytest.mark.parametrize("name", ["os:system", "pathlib:Path", "builtins:dict", "pipeline_core.image:KindError"])
def test_only_frozen_dataclasses_are_kinds(name: str) -> None:
    with pytest.raises(UnstorableError, match="is not a kind"):
        find_kind(name)


def test_bytes_are_counted() -> None:
    assert nbytes(Image(np.zeros((1, 4, 5, 3), np.float32))) == 240
    assert nbytes(File(b"abc")) == 3
    assert nbytes(layer()) == 48 + 6 + 0 + 4 + 16


def test_a_fingerprint_changes_with_a_single_bit() -> None:
    for buffer in (
        np.zeros((1, 7, 5, 3), np.float32),
        np.zeros((1, 7, 5, 3), np.float32)[:, ::-1],
        np.zeros((1, 3, 7, 5), np.float32).transpose(0, 2, 3, 1),
    ):
        image = Image(buffer)
        before = fingerprint(image)
        assert fingerprint(image) == before
        buffer[0, 6, 4, 2] = -0.0
        assert fingerprint(image) != before
    value = layer()
    before = fingerprint(value)
    value.weights["h"][1] = 2
    assert fingerprint(value) != before


def test_a_view_is_cloned_and_a_whole_is_not() -> None:
    whole = np.zeros((1, 100, 100, 3), np.float32)
    corner = compact(Image(whole[:, :2, :2]))
    assert corner.buffer.base is None
    assert compact(image := Image(whole)) is image
    cut = compact(Image(torch.zeros(1, 100, 100, 3)[:, :2, :2]))
    assert cut.buffer.untyped_storage().nbytes() == 48


def test_memory_with_gaps_is_not_dense() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    assert dense(array) is array
    assert dense(array.transpose(2, 0, 1)) is not None
    assert dense(array[:, ::2]) is None
    assert dense(array[::-1]) is None
    assert dense(np.broadcast_to(np.zeros(()), (3, 3))) is None


def test_moving() -> None:
    image = Image(np.ones((1, 2, 3, 3), np.float32))
    assert move(image, "cpu") is image
    assert str(move(image, "meta").buffer.device) == "meta"
    assert str(move(layer(), "meta").weights["a"].device) == "meta"
