"""
Ten models of different shape, as a user's process has them.

    python models.py REPORT BUNDLE         starts from the bundle, if it is there
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch._dynamo.utils import counters

import overwinter.torch

COUNTED = {"aot_autograd": "autograd_cache", "inductor": "fxgraph_cache"}


def mlp() -> torch.Tensor:
    """Layers, trained once."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    result = torch.compile(model)(torch.randn(3, 8)).softmax(-1)
    return with_gradients(result, model)


def convolution() -> torch.Tensor:
    """With the running statistics of a norm."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    return with_gradients(torch.compile(model)(torch.randn(2, 3, 8, 8)), model)


def attention() -> torch.Tensor:
    """Scaled dot products."""

    def attend(q: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, q * 2, q + 1).sin()

    return torch.compile(attend)(torch.randn(1, 2, 8, 16))


def recurrent() -> torch.Tensor:
    """Unrolled by Dynamo, which leaves torch's own recurrent layers out."""
    model = nn.RNNCell(4, 8)

    def unrolled(steps: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(2, 8)
        for step in steps:
            state = model(step, state)
        return state

    return with_gradients(torch.compile(unrolled)(torch.randn(3, 2, 4)), model)


def embedding() -> torch.Tensor:
    """A gather with a sparse gradient."""
    model = nn.Embedding(10, 6, sparse=True)
    result = torch.compile(lambda rows: model(rows).cos())(torch.tensor([1, 3, 5]))
    result.sum().backward()
    return torch.cat([result.detach().flatten(), model.weight.grad.to_dense().sum(0)])


def dynamic() -> torch.Tensor:
    """Two sizes, one graph."""
    scale = torch.compile(lambda x: (x * 3).relu().sum(0), dynamic=True)
    return scale(torch.randn(4, 6)) + scale(torch.randn(9, 6))


def broken() -> torch.Tensor:
    """Two graphs, with Python in between."""

    def halves(x: torch.Tensor) -> torch.Tensor:
        x = x.sin() * 2
        torch._dynamo.graph_break()
        return x.cos() + 1

    return torch.compile(halves)(torch.randn(11))


@torch.library.custom_op("overwinter::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    """Return the double, by an operator that torch does not know."""
    return x * 2


@twice.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def custom() -> torch.Tensor:
    """An operator that is called and not compiled."""
    compiled = torch.compile(lambda x: torch.ops.overwinter.twice(x.sin()).cos())
    return compiled(torch.randn(13))


def autocast() -> torch.Tensor:
    """Multiplied in bfloat16."""
    model = nn.Linear(16, 16)
    batch = torch.randn(4, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = torch.compile(lambda x: model(x).relu())(batch)
    return with_gradients(result.float(), model)


def training() -> torch.Tensor:
    """Two steps with an optimizer, which is compiled too."""
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    batch, compiled = torch.randn(6, 5), torch.compile(model)
    step = torch.compile(optimizer.step)
    for _ in range(2):
        optimizer.zero_grad()
        compiled(batch).pow(2).mean().backward()
        step()
    return next(model.parameters())


MODELS: list[Callable[[], torch.Tensor]] = [
    mlp,
    convolution,
    attention,
    recurrent,
    embedding,
    dynamic,
    broken,
    custom,
    autocast,
    training,
]


def with_gradients(result: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """Return a result and the gradients behind it: torch keeps what was trained."""
    result.square().sum().backward()
    gradients = [each.grad.flatten() for each in model.parameters()]
    return torch.cat([result.detach().flatten(), *gradients])


def compiled(model: Callable[[], torch.Tensor]) -> dict[str, object]:
    """Compile one model; report what it gives, and what torch's caches did."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    result = model().detach().float()
    return {
        "output": hashlib.sha256(result.numpy().tobytes()).hexdigest(),
        **{
            outcome: sum(
                counters[group][f"{name}_{outcome}"] for group, name in COUNTED.items()
            )
            for outcome in ("hit", "miss", "bypass")
        },
    }


def main(report: str, bundle: str) -> None:
    """Start from a bundle, compile everything, and save what is new."""
    loaded = overwinter.torch.load(bundle) if Path(bundle).exists() else None
    found = {each.__name__: compiled(each) for each in MODELS}
    saved = overwinter.torch.save(bundle)
    plain = {
        "load": loaded and loaded.as_dict(),
        "models": found,
        "save": saved.as_dict(),
        "size": Path(bundle).stat().st_size,
    }
    Path(report).write_text(json.dumps(plain), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
