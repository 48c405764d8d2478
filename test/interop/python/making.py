"""What every case needs: a small shape, random weights, a model card, and the list of cases."""

import torch

from tokenizers_in_suite import merge_json

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

CASES = {}


def case(make):
    CASES[make.__name__.replace("__", ".").replace("_", "-")] = make
    return make


def save(model_class, config, folder, dtype=torch.bfloat16, shard="1GB"):
    """
    Random weights; norms and biases too, so that no change to them goes unseen, and projections wide enough that attention looks
    at some tokens more than at others.
    """
    torch.manual_seed(len(folder.name) + sum(folder.name.encode()))
    model = model_class(config)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.3)
        elif "proj" in name:
            torch.nn.init.normal_(parameter, std=0.15)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    return model


def card(folder, head, body="# A model\n"):
    (folder / "README.md").write_text(f"---\n{head}---\n{body}", encoding="utf-8")


def change_config(folder, **changes):
    """Overrides keys of config.json; None removes one."""
    merge_json(folder / "config.json", folder / "config.json", changes)
