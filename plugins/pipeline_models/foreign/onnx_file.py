"""ONNX files, run by onnxruntime on torch's memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline_core import Model, OperationError
from pipeline_models.foreign.recognise import proto_fields
from pipeline_models.foreign.run import Foreign, fixed

_TYPES = {
    "tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64,
    "tensor(uint8)": torch.uint8, "tensor(int8)": torch.int8, "tensor(int32)": torch.int32, "tensor(int64)": torch.int64,
    "tensor(bool)": torch.bool,
}  # fmt: skip
_NUMPY = {
    torch.float32: np.float32, torch.float16: np.float16, torch.float64: np.float64, torch.uint8: np.uint8,
    torch.int8: np.int8, torch.int32: np.int32, torch.int64: np.int64, torch.bool: np.bool_,
}  # fmt: skip


def network(model: Model, device: str) -> Foreign:
    """The network of a model whose one tensor, `file`, is an ONNX file."""
    try:
        import onnxruntime
    except ImportError:
        raise OperationError("ONNX models need onnxruntime: pip install 'pipeline-core[onnx]'") from None
    content = np.ascontiguousarray(model.tensors["file"])
    refuse_other_files(content.data)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    offered = onnxruntime.get_available_providers()
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") and "CUDAExecutionProvider" in offered else []
    try:
        session = onnxruntime.InferenceSession(content.tobytes(), options, [*wanted, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no class
        raise OperationError(f"onnxruntime refuses this model: {_first_line(error)}") from None
    shape = session.get_inputs()[0].shape
    channels = shape[1] if len(shape) == 4 and shape[1] in (1, 3) else 3
    return Foreign(_Session(session, device if wanted else "cpu"), channels=channels, size=fixed(shape))


class _Session:
    def __init__(self, session: Any, device: str) -> None:
        self.session = session
        self.device, _, number = device.partition(":")
        self.number = int(number or 0)
        self.inputs, self.outputs = session.get_inputs(), session.get_outputs()

    def __call__(self, *given: Tensor) -> Any:
        if len(given) != len(self.inputs):
            wanted = ", ".join(part.name for part in self.inputs)
            raise OperationError(f"the model takes {len(self.inputs)} inputs ({wanted}), not {len(given)}")
        binding = self.session.io_binding()
        place = f"{self.device}:{self.number}" if self.device != "cpu" else "cpu"
        held = []
        for part, tensor in zip(self.inputs, given, strict=True):
            if part.type not in _TYPES:
                raise OperationError(f"the model's input '{part.name}' is a {part.type}, which no picture can be")
            bound = tensor.detach().to(place, _TYPES[part.type]).contiguous()
            held.append(bound)  # its memory is bound below
            binding.bind_input(
                part.name, self.device, self.number, _NUMPY[bound.dtype], tuple(bound.shape), bound.data_ptr()
            )
        for part in self.outputs:
            binding.bind_output(part.name, self.device, self.number)
        try:
            self.session.run_with_iobinding(binding)
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors share no class
            if "allocate" in str(error).lower() and "memory" in str(error).lower():
                raise MemoryError(_first_line(error)) from None
            shapes = ", ".join(str(list(part.shape)) for part in self.inputs)
            raise OperationError(
                f"the model, which takes {shapes}, can't work with {[list(t.shape) for t in given]}: {_first_line(error)}"
            ) from None
        found = tuple(torch.from_numpy(value) for value in binding.copy_outputs_to_cpu())
        found = tuple(
            value.to(given[0].device, torch.float32 if value.is_floating_point() else value.dtype) for value in found
        )
        return found[0] if len(found) == 1 else found


def refuse_other_files(model: memoryview) -> None:
    """A model that keeps numbers in other files is refused: these would count in no key, and could be any file.

    Numbers of the fields: onnx.proto (ModelProto.graph 7; GraphProto.node 1, initializer 5; NodeProto.attribute 5;
    AttributeProto.t 5, g 6, tensors 10, graphs 11; TensorProto.external_data 13, data_location 14; ModelProto.functions 25).
    """
    waiting = [part for number, _, part in _parts(model) if number == 7]
    nodes = [node for number, _, made in _parts(model) if number == 25 for n, _, node in _parts(made) if n == 7]
    while waiting or nodes:
        tensors: list[memoryview] = []
        if waiting:
            for number, _, part in _parts(waiting.pop()):
                nodes += [part] if number == 1 else []
                tensors += [part] if number == 5 else []
        else:
            for attribute in [part for number, _, part in _parts(nodes.pop()) if number == 5]:
                for number, _, part in _parts(attribute):
                    waiting += [part] if number in (6, 11) else []
                    tensors += [part] if number in (5, 10) else []
        if any(number in (13, 14) and part for tensor in tensors for number, _, part in _parts(tensor)):
            raise OperationError("this ONNX model keeps its numbers in another file; save it as one file")


def _parts(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    try:
        yield from proto_fields(message)
    except ValueError:
        raise OperationError("this ONNX model is damaged") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
