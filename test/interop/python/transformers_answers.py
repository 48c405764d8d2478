"""
What the libraries that the models come from make of the folders: the tokens of some texts (sentencepiece where the folder has
its model, since transformers differs from it at the start of a text; transformers elsewhere), and transformers' logits after
a few tokens.
"""

import argparse
import json
from pathlib import Path

import sentencepiece
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    texts = json.loads(arguments.texts.read_text(encoding="utf-8"))
    answers = {folder.name: answers_of(folder, texts) for folder in arguments.folders}
    arguments.out.write_text(json.dumps(answers), encoding="utf-8")


def answers_of(folder: Path, texts: list) -> dict:
    tokens_of = tokenizer_of(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    prompt = [token % model.config.get_text_config().vocab_size for token in range(7, 7 + 23 * 41, 41)]
    with torch.inference_mode():
        logits = model(torch.tensor([prompt])).logits[0, -1]
    return {
        "tokens": [tokens_of(text) for text in texts],
        "prompt": prompt,
        "logits": logits[:512].tolist(),
    }


def tokenizer_of(folder: Path):
    if (folder / "tokenizer.model").exists():
        return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).encode
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: tokenizer.encode(text, split_special_tokens=True, add_special_tokens=False)


if __name__ == "__main__":
    main()
