"""
Encoders as their papers have them, in double precision: what our own are held against. Both are asked with a question (JSON: shapes and
settings) and tensors, and answer with tensors.

`signround`: Cheng et al., "Optimize Weight Rounding via Signed Gradient Descent", 2023, for one block of a Llama, with gradients by
autograd. The tensors are the block's weights, the streams of all sequences before it, and the scales and zero points to begin with.

`gptq`: Frantar et al., "GPTQ", 2023, by the Cholesky factor of the inverse Gram matrix, for one matrix whose scales and zero points
stand, with columns in the order that is given.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

MATRICES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
# As our own descent has it: factors of a range's ends stay within a half of 1.
MOST_STRETCH = 0.5


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ["signround", "gptq"]:
        parsed = commands.add_parser(command)
        for name in ["question", "tensors", "out"]:
            parsed.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    question = json.loads(arguments.question.read_text(encoding="utf-8"))
    answer = {"signround": learn, "gptq": decide}[arguments.command]
    save_file(answer(question, load_file(arguments.tensors)), arguments.out)


def rounded(x: torch.Tensor) -> torch.Tensor:
    """Rounds; the gradient passes."""
    return x + (x.round() - x).detach()


def half(x: torch.Tensor) -> torch.Tensor:
    """To the nearest half float; the gradient passes."""
    return x + (x.to(torch.float16).to(x.dtype) - x).detach()


class Rounding:
    """Offsets of all weights of a matrix and factors of all groups, and the weights that they give."""

    def __init__(self, weight, scale, zero, bits, group) -> None:
        self.top = 2**bits - 1
        self.weight = weight.double().reshape(weight.shape[0], -1, group)
        scale, zero = scale.double().reshape(*self.weight.shape[:2], 1), zero.double().reshape(*self.weight.shape[:2], 1)
        self.least, self.most = -zero * scale, (self.top - zero) * scale
        self.offset = torch.zeros_like(self.weight, requires_grad=True)
        self.high = torch.ones_like(scale, requires_grad=True)
        self.low = torch.ones_like(scale, requires_grad=True)
        self.keep()

    def state(self):
        scale = half((self.high * self.most - self.low * self.least) / self.top)
        zero = rounded(-self.low * self.least / scale)
        code = torch.clamp(rounded(self.weight / scale + self.offset) + zero, 0, self.top)
        return code, scale, zero

    def value(self) -> torch.Tensor:
        code, scale, zero = self.state()
        return (scale * (code - zero)).reshape(self.weight.shape[0], -1)

    def step(self, rate: float, range_rate: float) -> None:
        with torch.no_grad():
            self.offset -= rate * self.offset.grad.sign()
            self.offset.clamp_(-0.5, 0.5)
            for factor in [self.high, self.low]:
                factor -= range_rate * factor.grad.sign()
                factor.clamp_(1 - MOST_STRETCH, 1 + MOST_STRETCH)
            for learned in [self.offset, self.high, self.low]:
                # Kept as floats, as ours are: a half float on the other side of a tie would take the two apart for good.
                learned.copy_(learned.float())
                learned.grad = None

    def keep(self) -> None:
        with torch.no_grad():
            self.best = [part.clone() for part in self.state()]


def norm(x, gain, epsilon):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * gain


def turned(x, base):
    """Rotary positions of neighbouring pairs: [sequences, heads, positions, head size]."""
    size, positions = x.shape[-1], x.shape[-2]
    angle = torch.arange(positions)[:, None] * base ** (-torch.arange(0, size, 2) / size)
    even, odd = x[..., 0::2], x[..., 1::2]
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)


def block(x, weight, norms, question):
    sequences, positions, _ = x.shape
    heads = lambda y: y.reshape(sequences, positions, -1, question["headSize"]).transpose(1, 2)
    normed = norm(x, norms["attn_norm"], question["epsilon"])
    q, k, v = (heads(normed @ weight[name].T) for name in ["attn_q", "attn_k", "attn_v"])
    q, k = turned(q, question["ropeBase"]), turned(k, question["ropeBase"])
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    mask = torch.full((positions, positions), -torch.inf).triu(1)
    shares = (q @ k.transpose(-1, -2) / question["headSize"] ** 0.5 + mask).softmax(-1)
    mixed = (shares @ v).transpose(1, 2).reshape(sequences, positions, -1)
    middle = x + mixed @ weight["attn_output"].T
    fed = norm(middle, norms["ffn_norm"], question["epsilon"])
    gate = torch.nn.functional.silu(fed @ weight["ffn_gate"].T)
    return middle + (gate * (fed @ weight["ffn_up"].T)) @ weight["ffn_down"].T


def learn(question, tensors):
    norms = {name: tensors[name].double() for name in ["attn_norm", "ffn_norm"]}
    original = {name: tensors[name].double() for name in MATRICES}
    streams = tensors["streams"].double()
    with torch.no_grad():
        targets = block(streams, original, norms, question)
    roundings = {
        name: Rounding(tensors[name], tensors[f"{name}.scales"], tensors[f"{name}.zeros"], question["bits"], question["groupSize"])
        for name in MATRICES
    }
    output = lambda inputs: block(inputs, {name: each.value() for name, each in roundings.items()}, norms, question)
    judged = torch.tensor([at % 4 == 3 for at in range(len(streams))])
    train, train_targets = streams[~judged], targets[~judged]

    def error() -> float:
        with torch.no_grad():
            return (output(streams[judged]) - targets[judged]).square().mean().item()

    start = best = error()
    kept = 0
    steps, batch = question["steps"], question["batch"]
    every = max(1, round(steps / 16))
    for step in range(steps):
        chosen = [(step * batch + at) % len(train) for at in range(batch)]
        (output(train[chosen]) - train_targets[chosen]).square().sum().backward()
        rate = question["rate"] * (1 - step / steps)
        for each in roundings.values():
            each.step(rate, rate * min(1, question["rangeCodes"] / each.top))
        if step + 1 == steps or (step + 1) % every == 0:
            found = error()
            if found < best:
                best, kept = found, step + 1
                for each in roundings.values():
                    each.keep()
    answer = {"errors": torch.tensor([start, best]), "kept": torch.tensor([kept], dtype=torch.int32)}
    for name, each in roundings.items():
        code, scale, zero = each.best
        answer[f"{name}.codes"] = code.to(torch.uint8).flatten().contiguous()
        answer[f"{name}.scales"] = scale.float().flatten().contiguous()
        answer[f"{name}.zeros"] = zero.to(torch.uint8).flatten().contiguous()
    return answer


def decide(question, tensors):
    weight, gram = tensors["weight"].double(), tensors["gram"].double()
    group, top = question["groupSize"], 2 ** question["bits"] - 1
    order = tensors["order"].long()
    expand = lambda part: tensors[part].double().reshape(weight.shape[0], -1).repeat_interleave(group, 1)[:, order]
    scale, zero = expand("scales"), expand("zeros")
    left = weight[:, order].clone()
    inverse = torch.linalg.inv(gram[order][:, order])
    upper = torch.linalg.cholesky(inverse, upper=True)
    codes = torch.zeros_like(left)
    for column in range(left.shape[1]):
        wanted = left[:, column]
        codes[:, column] = torch.clamp((wanted / scale[:, column] + zero[:, column]).round(), 0, top)
        value = scale[:, column] * (codes[:, column] - zero[:, column])
        error = (wanted - value) / upper[column, column]
        left[:, column:] -= error[:, None] * upper[column, column:]
    ordered = torch.empty_like(codes)
    ordered[:, order] = codes
    change = torch.empty_like(codes)
    change[:, order] = scale * (codes - zero)
    change -= weight
    return {
        "codes": ordered.to(torch.uint8).flatten().contiguous(),
        "loss": ((change @ gram) * change).sum().reshape(1),
    }


if __name__ == "__main__":
    main()
