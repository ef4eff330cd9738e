"""Linear layers of a model, their weights laid out once for the processor's matrix multiplication.

A layer computes the same as before up to float rounding, and keeps its weights where other code looks for them. By
itself a float32 layer copies its bias into the result and rearranges its weights in every call; oneDNN takes weights
that are arranged already, and adds the bias on the way (400 rows of all-MiniLM-L6-v2: 12 % of a layer's time, and the
copy). Layers in bfloat16 go to oneDNN by themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_MOST_BYTES = 1 << 30
"""Weights of a model that is left as it is: the arranged ones are held besides the original ones."""

_CLOSE = 1e-4
"""How far a trial's result may be from the original layer's."""


def pack_linear_layers(model: nn.Module) -> int:
    """Let the float32 linear layers of ``model`` multiply by arranged weights; returns how many do.

    None does where the processor or this version of PyTorch has no such operation, or the model is large.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear and layer.weight.dtype == torch.float32]
    size = sum(layer.weight.nbytes for layer in layers)
    if size > _MOST_BYTES or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return 0
    packed = 0
    with torch.inference_mode():
        for layer in layers:
            try:
                forward = _packed_forward(layer)
                trial = torch.linspace(-1.0, 1.0, 3 * layer.in_features).reshape(1, 3, layer.in_features)
                agrees = torch.allclose(forward(trial), layer(trial), rtol=_CLOSE, atol=_CLOSE)
            except (AttributeError, RuntimeError):  # the operation is PyTorch's own compiler's, and may change
                return packed
            if agrees:
                layer.forward = forward  # type: ignore[method-assign, assignment]
                packed += 1
    return packed


def _packed_forward(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().clone(), None)
    bias = None if layer.bias is None else layer.bias.detach().clone()

    def forward(rows: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        return result

    return forward
