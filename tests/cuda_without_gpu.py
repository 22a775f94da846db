"""`pretend_cuda`: run the CUDA code path on a machine without a GPU, on fake tensors of cuda:0.

A fake tensor has shape, dtype, device and strides, but no data. Each operation is checked as on the device that it
names: two devices in one operation raise, autocast casts by CUDA's own lists, convolutions choose cuDNN's layout.
Nothing is computed: values, streams, races, missing kernels and speed are not seen.

torch's engine asks the driver for a context before a backward pass, so `backward` walks the graph in Python.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)


def count_uses(root: Any) -> Counter[Any]:
    """How often each node of the graph is another one's next: its gradient is whole after so many parts."""
    uses, known, queue = Counter[Any](), {root}, [root]
    while queue:
        for node, _ in queue.pop().next_functions:
            if node is not None:
                uses[node] += 1
                if node not in known:
                    known.add(node)
                    queue.append(node)
    return uses


def backward(output: Tensor, gradient: Tensor | None = None, **_: object) -> None:
    """Stand for torch.autograd.backward of one output. A gradient on another device than its tensor raises."""
    root, left = output.grad_fn, count_uses(output.grad_fn)
    given: dict[Any, dict[int, Tensor]] = {
        root: {output.output_nr: torch.ones_like(output) if gradient is None else gradient}
    }
    queue: list[Any] = [root]
    with torch.no_grad():
        while queue:
            node = queue.pop()
            inputs = given.pop(node, {})
            if hasattr(node, "variable"):  # a leaf: called from Python, its node would copy what the engine moves
                node.variable.grad = inputs[0] if node.variable.grad is None else node.variable.grad + inputs[0]
                continue
            found = node(*map(inputs.get, range(len(node._input_metadata)))) if inputs else ()
            found = found if isinstance(found, tuple) else (found,)
            found += (None,) * (len(node.next_functions) - len(found))
            for (following, number), value in zip(node.next_functions, found, strict=True):
                if following is None:
                    continue
                if value is not None:
                    expected = following._input_metadata[number]
                    assert value.device == expected.device, f"{node.name()}: {value.device} for {expected.device}"
                    value = value.sum_to_size(expected.shape).to(expected.dtype)  # as the engine does
                    parts = given.setdefault(following, {})
                    parts[number] = parts[number] + value if number in parts else value
                left[following] -= 1
                if not left[following]:
                    queue.append(following)


def apply(self: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:  # noqa: ARG001
    """nn.Module._apply with new parameters in place of the old ones: torch's can't swap fake ones."""
    for child in self.children():
        child._apply(function)
    with torch.no_grad():
        for name, parameter in self._parameters.items():
            if parameter is not None:
                self._parameters[name] = nn.Parameter(function(parameter), parameter.requires_grad)
        self._buffers.update({name: function(b) for name, b in self._buffers.items() if b is not None})
    return self


def deepcopy(self: Tensor, memo: dict[int, Tensor]) -> Tensor:
    """Tensor.__deepcopy__ without a look at the memory, of which there is none: torch 2.14.1 crashes later."""
    copied = self.detach().clone()
    memo[id(self)] = nn.Parameter(copied, self.requires_grad) if isinstance(self, nn.Parameter) else copied
    return memo[id(self)]


class AnyGenerator(torch.Generator):
    """On the CPU, whatever device is asked for."""

    def __new__(cls, device: object = None) -> "AnyGenerator":  # noqa: ARG004
        return super().__new__(cls)


def fill(shape: Sequence[int], value: float) -> Any:
    return [fill(shape[1:], value) for _ in range(shape[0])] if shape else value


@contextmanager
def pretend_cuda(has_bfloat16: bool = True) -> Iterator[list[str]]:
    """Let tensors be made on cuda:0, and run forward and backward. Yield how each value was read from there.

    What is read there is 0: no loss is infinite, no scaler skips. A count (of steps or batches, on the CPU) is 1, and
    what is asked for is true.
    """
    reads: list[str] = []

    def read(tensor: Tensor, how: str, value: float = 0.0) -> float:
        if tensor.device.type != "cuda":
            return 1.0
        reads.append(how)
        return value

    with ExitStack() as stack:
        for owner, name, new in (
            (nn.Module, "_apply", apply),
            (Tensor, "backward", backward),
            (FakeTensor, "__deepcopy__", deepcopy),
            (Tensor, "item", lambda tensor: read(tensor, "item")),
            (FakeTensor, "tolist", lambda tensor: fill(tensor.shape, read(tensor, "tolist"))),
            (Tensor, "__float__", lambda tensor: read(tensor, "float", 1.0)),
            (Tensor, "__bool__", lambda tensor: bool(read(tensor, "bool", 1.0))),
            (torch, "Generator", AnyGenerator),  # timm's mean of bfloat16 weights has one
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bfloat16),  # noqa: ARG005
        ):
            stack.enter_context(mock.patch.object(owner, name, new, create=True))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield reads


class Recorder(TorchDispatchMode):
    """Within pretend_cuda: what a GPU would be given to do, by operation; and the copies to it that the host waits for.

    layouts: for each convolution, whether its output is channels_last, and its dtype.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[str] = Counter()
        self.waits: list[tuple[torch.Size, torch.dtype]] = []
        self.layouts: list[tuple[bool, torch.dtype]] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.name().removeprefix("aten::")
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        on_gpu = any(tensor.device.type == "cuda" for tensor in tensors)
        if on_gpu and not func.is_view and name not in ("detach", "prim::device"):
            self.operations[name] += 1
        if name in ("_to_copy", "copy_"):
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], out)
            blocks = not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
            if (source.device.type, target.device.type) == ("cpu", "cuda") and blocks:
                self.waits.append((source.shape, source.dtype))
        if name == "convolution":
            self.layouts.append((out.is_contiguous(memory_format=torch.channels_last), out.dtype))
        return out
