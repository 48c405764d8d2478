"""
Gradients by PyTorch. `models` makes louder copies of test models: embeddings and heads as large as trained ones, so that predictions
are no even guess. `answers` gives logits, and the squared gradient of the summed log-probability of given labels by every weight
matrix, summed over each row and each column.

The engine looks GELU up in a table of half floats. Cases that say so compute it here in the same way, so that nothing but this table
is allowed to differ from an exact one.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

LOUDER = 15.0


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    models = commands.add_parser("models")
    models.add_argument("--cases", type=Path, required=True)
    models.add_argument("--source", type=Path, required=True)
    models.add_argument("--out", type=Path, required=True)
    answers = commands.add_parser("answers")
    answers.add_argument("--cases", type=Path, required=True)
    answers.add_argument("--questions", type=Path, required=True)
    answers.add_argument("--models", type=Path, required=True)
    answers.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    torch.set_num_threads(2)
    if arguments.command == "models":
        make_models(arguments)
    else:
        answer(arguments)


def make_models(arguments) -> None:
    shutil.rmtree(arguments.out, ignore_errors=True)
    for name, case in json.loads(arguments.cases.read_text(encoding="utf-8")).items():
        folder = arguments.out / name
        shutil.copytree(arguments.source / case["from"], folder)
        model = load(folder)
        for path in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
            path.unlink()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **case.get("config", {})}), encoding="utf-8")
        weights = {}
        for key, parameter in model.named_parameters():
            scale = LOUDER if "embed_tokens" in key or "lm_head" in key else 1.0
            weights[key] = (parameter.detach() * scale).contiguous()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


class TableGeluFunction(torch.autograd.Function):
    """Values by half floats, slopes as they are."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()

    @staticmethod
    def backward(context, upper):
        (x,) = context.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = torch.nn.functional.gelu(x, approximate="tanh")
        return torch.autograd.grad(y, x, upper)[0]


class TableGelu(torch.nn.Module):
    def forward(self, x):
        return TableGeluFunction.apply(x)


def answer(arguments) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    cases = json.loads(arguments.cases.read_text(encoding="utf-8"))
    for name, sequences in json.loads(arguments.questions.read_text(encoding="utf-8")).items():
        model = load(arguments.models / name)
        if cases[name].get("gelu") == "table":
            for layer in model.model.layers:
                layer.mlp.act_fn = TableGelu()
        results = {}
        for index, sequence in enumerate(sequences):
            for key, tensor in gradients_of(model, sequence).items():
                results[f"{index}/{key}"] = tensor.contiguous()
        save_file(results, arguments.out / f"{name}.safetensors")


def gradients_of(model, sequence) -> dict:
    """Labels below 0 are none."""
    model.zero_grad(set_to_none=True)
    logits = model(torch.tensor([sequence["tokens"]])).logits[0]
    labels = torch.tensor(sequence["labels"])
    scored = labels >= 0
    chosen = torch.log_softmax(logits[scored], dim=-1).gather(1, labels[scored][:, None])
    chosen.sum().backward()
    found = {"logits": logits.detach()}
    for key, parameter in model.named_parameters():
        if parameter.dim() != 2:
            continue
        squares = parameter.grad.double().square()
        found[f"{key}/rows"] = squares.sum(1)
        found[f"{key}/columns"] = squares.sum(0)
    return found


if __name__ == "__main__":
    main()
