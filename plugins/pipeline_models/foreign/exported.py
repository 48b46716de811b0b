"""Programs of torch.export (.pt2), read and run by our own few lines.

torch's own reader unpickles parts of such a file and evaluates texts of it as code. Here its graph is read as JSON and
its numbers as bytes; nothing else of it is opened. Run are functions of torch's `aten` that change nothing in place and
name no file, and arithmetic on sizes.

The format: torch/_export/serde/schema.py and torch/export/pt2_archive of torch 2.8 and later.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline_core import Model, OperationError
from pipeline_models.foreign.recognise import read_entry, zip_names
from pipeline_models.foreign.run import Foreign, fixed

MAX_GRAPH, MAX_NUMBERS = 64 << 20, 8 << 30
_SCALAR = [
    None, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64,
    torch.complex32, torch.complex64, torch.complex128, torch.bool, torch.bfloat16,
]  # fmt: skip
"""Types by their number in the schema (ScalarType)."""

_MEMORY = [None, torch.contiguous_format, torch.channels_last, torch.channels_last_3d, torch.preserve_format]
_WORDS = {"approximate", "rounding_mode", "padding", "mode", "padding_mode", "equation", "reduction"}
"""Arguments of functions that may be texts. None of them names a file."""

_ON_SIZES: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "truediv", "getitem", "ge", "le", "gt", "lt", "eq", "ne")},
    "math.ceil": math.ceil, "math.floor": math.floor, "math.trunc": math.trunc, "torch.sym_max": max, "torch.sym_min": min,
    "torch.sym_float": float, "torch.sym_int": int, "torch.sym_not": operator.not_, "torch.sym_ite": lambda b, t, f: t if b else f,
}  # fmt: skip


def network(model: Model, device: str) -> Foreign:
    """The network of a model whose one tensor, `file`, is a program of torch.export."""
    program = Program(np.ascontiguousarray(model.tensors["file"]), device)
    return Foreign(program, channels=program.channels, size=program.size)


class Program:
    """A graph of calls; called with tensors, it gives what the program gives."""

    def __init__(self, content: np.ndarray[Any, Any], device: str) -> None:
        names = zip_names(content)
        files = {name.partition("/")[2]: name for name in names}
        graphs = [name for name in files if name.startswith("models/") and name.endswith(".json")]
        if len(graphs) != 1:
            raise OperationError(f"this file has {len(graphs)} programs of torch.export; one is wanted")
        title = graphs[0].removeprefix("models/").removesuffix(".json")
        told = _json(read_entry(content, files[graphs[0]], MAX_GRAPH))
        try:
            module = told["graph_module"]
            self.nodes, self.signature = module["graph"]["nodes"], module["signature"]
            self.calls = [_function(node["target"]) for node in self.nodes]
            self.values = self._numbers(content, names, files, title, device)
            self.inputs = self._inputs()
            outputs = [spec["user_output"]["arg"] for spec in self.signature["output_specs"] if "user_output" in spec]
            self.outputs = outputs
            sizes = module["graph"]["tensor_values"][self.inputs[0]]["sizes"]
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise OperationError(
                f"this program of torch.export does not read ({type(error).__name__}: {error})"
            ) from None
        known = [size.get("as_int") for size in sizes]
        self.channels = known[1] if len(known) == 4 and known[1] in (1, 3) else 3
        self.size = fixed(known)

    def _numbers(
        self, content: Any, names: Mapping[str, int], files: Mapping[str, str], title: str, device: str
    ) -> dict[str, Tensor]:
        """Parameters, buffers and constants by the names that the graph has for them."""
        if sum(names.values()) > MAX_NUMBERS:
            raise OperationError(f"the numbers of this program take more than {MAX_NUMBERS:,} bytes")
        found: dict[str, Tensor] = {}
        for folder, kind in (("weights", "weights"), ("constants", "constants")):
            listed = files.get(f"data/{folder}/{title}_{kind}_config.json")
            config = _json(read_entry(content, listed, MAX_GRAPH))["config"] if listed else {}
            for name, part in config.items():
                if part.get("use_pickle"):
                    raise OperationError(
                        f"'{name[:80]}' in this program is pickled, and pickles are not read; export the program without it"
                    )
                path = files[f"data/{folder}/{part['path_name']}"]
                found[name] = _tensor(read_entry(content, path, names[path]), part["tensor_meta"]).to(device)
        named: dict[str, Tensor] = {}
        for spec in self.signature["input_specs"]:
            (kind, part), *_ = spec.items()
            if kind != "user_input" and kind != "constant_input":
                wanted = part.get("parameter_name") or part.get("buffer_name") or part.get("tensor_constant_name")
                named[part["arg"]["name"]] = found[wanted]
        return named

    def _inputs(self) -> list[str]:
        specs = [spec["user_input"]["arg"] for spec in self.signature["input_specs"] if "user_input" in spec]
        return [arg["as_tensor"]["name"] for arg in specs if "as_tensor" in arg]

    def __call__(self, *given: Tensor) -> Any:
        if len(given) != len(self.inputs):
            raise OperationError(
                f"the model takes {len(self.inputs)} inputs ({', '.join(self.inputs)}), not {len(given)}"
            )
        values: dict[str, Any] = {**self.values, **dict(zip(self.inputs, given, strict=True))}
        try:
            for node, call in zip(self.nodes, self.calls, strict=True):
                positional = [_argument(part["arg"], values) for part in node["inputs"] if part.get("kind", 1) == 1]
                named = {
                    part["name"]: _argument(part["arg"], values) for part in node["inputs"] if part.get("kind", 1) != 1
                }
                _keep(node["outputs"], call(*positional, **named), values)
            found = tuple(_argument(arg, values) for arg in self.outputs)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise OperationError(
                f"this program of torch.export can't be run ({type(error).__name__}: {error})"
            ) from None
        return found[0] if len(found) == 1 else found


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise OperationError(f"this program of torch.export does not read ({str(error)[:80]})") from None


def _tensor(content: bytes, told: Mapping[str, Any]) -> Tensor:
    """A tensor from its bytes, held to what is told of it: it may lie in them in any order of axes, not beyond them."""
    dtype = _SCALAR[told["dtype"]]
    sizes, strides = ([part["as_int"] for part in told[name]] for name in ("sizes", "strides"))
    offset = told["storage_offset"]["as_int"]
    numbers = torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)
    last = (
        offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) if 0 not in sizes else -1
    )
    if min([offset, *sizes, *strides], default=0) < 0 or last >= len(numbers):
        raise ValueError(f"a tensor of {sizes} lies beyond its numbers")
    return torch.as_strided(numbers, sizes, strides, offset).clone()


def _function(target: str) -> Callable[..., Any]:
    """What a node calls: a function of aten that only computes, or arithmetic on sizes. OperationError for all else."""
    if target in _ON_SIZES:
        return _ON_SIZES[target]
    parts = target.split(".")
    if len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"] and all(part.isidentifier() for part in parts[3:]):
        function: Any = getattr(getattr(torch.ops.aten, parts[3], None), parts[4], None)
        schema = getattr(function, "_schema", None)
        if schema is not None and not schema.is_mutable and all(_is_harmless(part) for part in schema.arguments):
            return function  # type: ignore[no-any-return]  # torch.ops has no types
    raise OperationError(f"this program calls '{target[:80]}', which is not among what is run of programs of others")


def _is_harmless(argument: Any) -> bool:
    return "str" not in str(argument.type) or argument.name in _WORDS


def _argument(told: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    (kind, value), *_ = told.items()
    if kind in ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools", "as_strings"):
        return value
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
        return (
            values[value["name"] if "name" in value else value["as_name"]]
            if _is_named(value)
            else next(iter(value.values()))
        )
    if kind in ("as_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats", "as_optional_tensors"):
        return [_argument(part if kind == "as_optional_tensors" else {kind[:-1]: part}, values) for part in value]
    if kind == "as_scalar_type":
        return _SCALAR[value]
    if kind == "as_memory_format":
        return _MEMORY[value]
    if kind == "as_device":
        return None  # where its inputs are
    if kind == "as_layout":
        return torch.strided
    raise ValueError(f"an argument of kind {kind}")


def _is_named(value: Mapping[str, Any]) -> bool:
    return "name" in value or "as_name" in value


def _keep(outputs: list[Mapping[str, Any]], found: Any, values: dict[str, Any]) -> None:
    if len(outputs) == 1:
        (kind, value), *_ = outputs[0].items()
        if kind == "as_tensors":
            values.update({part["name"]: one for part, one in zip(value, found, strict=True)})
        elif kind != "as_none":
            values[value["name"] if "name" in value else value["as_name"]] = found
        return
    for told, one in zip(outputs, found, strict=True):
        _keep([told], one, values)
