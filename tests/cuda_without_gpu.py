"""`pretend_cuda`: run the CUDA code path on a machine without a GPU, on fake tensors of cuda:0.

A fake tensor has shape, dtype, device and strides, but no data. Each operation is checked as on the device that it
names: two devices in one operation raise, autocast casts by CUDA's own lists, convolutions choose cuDNN's layout.
Nothing is computed: values, streams, races, missing kernels and speed are not seen.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from timm.utils import model_ema
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)


def backward(output: Tensor) -> None:
    """Stand for Tensor.backward, whose engine asks the driver for a context: walk the graph, the newest node first."""
    nodes, queue = {output.grad_fn}, [output.grad_fn]
    while queue:
        new = {node for node, _ in queue.pop().next_functions if node is not None} - nodes  # type: ignore[union-attr]
        nodes |= new
        queue += new
    given: defaultdict[Any, dict[int, Tensor]] = defaultdict(dict)
    given[output.grad_fn][output.output_nr] = torch.ones_like(output)
    with torch.no_grad():
        node: Any  # leaves last: called from Python, they would copy what the engine moves
        for node in sorted(nodes, key=lambda node: (hasattr(node, "variable"), -node._sequence_nr())):  # type: ignore[union-attr]
            inputs = given.pop(node, {})
            if hasattr(node, "variable"):
                node.variable.grad = inputs[0] if node.variable.grad is None else node.variable.grad + inputs[0]
                continue
            found = node(*map(inputs.get, range(len(node._input_metadata)))) if inputs else ()
            for (following, number), value in zip(node.next_functions, found if type(found) is tuple else (found,)):  # noqa: B905
                if following is not None and value is not None:
                    expected = following._input_metadata[number]
                    assert value.device == expected.device, f"{node.name()}: {value.device} for {expected.device}"
                    value = value.sum_to_size(expected.shape).to(expected.dtype)  # as the engine does
                    parts = given[following]
                    parts[number] = parts[number] + value if number in parts else value


def apply(self: nn.Module, function: Callable[[Tensor], Tensor]) -> nn.Module:
    """nn.Module._apply with new parameters in place of the old ones: torch's can't swap fake ones."""
    with torch.no_grad():
        for module in self.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(function(parameter), parameter.requires_grad)
            module._buffers.update({name: function(b) for name, b in module._buffers.items() if b is not None})
    return self


def deepcopy(self: Tensor, memo: dict[int, Tensor]) -> Tensor:
    """Tensor.__deepcopy__ without a look at the memory, of which there is none: torch 2.14.1 crashes later."""
    copied = self.detach().clone()
    memo[id(self)] = nn.Parameter(copied, self.requires_grad) if isinstance(self, nn.Parameter) else copied
    return memo[id(self)]


@contextmanager
def pretend_cuda() -> Iterator[list[str]]:
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
            (FakeTensor, "tolist", lambda tensor: [read(tensor, "tolist")] * len(tensor)),
            (Tensor, "__float__", lambda tensor: read(tensor, "float", 1.0)),
            (Tensor, "__bool__", lambda tensor: bool(read(tensor, "bool", 1.0))),
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda: True),
            (
                model_ema,
                "torch",
                mock.Mock(wraps=torch, Generator=lambda **_: torch.Generator()),
            ),  # of bfloat16 weights
        ):
            stack.enter_context(mock.patch.object(owner, name, new, create=True))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield reads


class Recorder(TorchDispatchMode):
    """Within pretend_cuda: what a GPU would be given to do, by operation; and the copies to it that the host waits for.

    layouts: of the outputs of convolutions, whether they are channels_last, and their dtype.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[str] = Counter()
        self.waits: list[tuple[torch.Size, torch.dtype]] = []
        self.layouts: set[tuple[bool, torch.dtype]] = set()

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.name().removeprefix("aten::")
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        if any(tensor.is_cuda for tensor in tensors) and not func.is_view and name not in ("detach", "prim::device"):
            self.operations[name] += 1
        if name in ("_to_copy", "copy_"):
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], out)
            if target.is_cuda and not source.is_cuda and True not in (kwargs.get("non_blocking"), *args[2:]):
                self.waits.append((source.shape, source.dtype))
        if name == "convolution":
            self.layouts.add((out.is_contiguous(memory_format=torch.channels_last), out.dtype))
        return out
