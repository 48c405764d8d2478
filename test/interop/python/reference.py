"""
Runs llama.cpp's convert_hf_to_gguf.py on every folder, in one process, and writes down what its rules for names, sizes and
rotary factors give.

A vocabulary trained for a test has no hash in the converter's table, where the converter gives up. For the cases named with
--pre the table's answer is supplied instead: the name that a person would add to it.
"""

import argparse
import json
import logging
import sys
import traceback
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True, help="llama.cpp's source tree")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pre", action="append", default=[], metavar="CASE=NAME")
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.source))
    supplied = dict(item.split("=", 1) for item in arguments.pre)
    supply_missing_names(supplied)

    import convert_hf_to_gguf

    arguments.out.mkdir(parents=True, exist_ok=True)
    write_answers(json.loads(arguments.names.read_text(encoding="utf-8")), arguments.out / "answers.json")
    logging.disable(logging.WARNING)
    failed = []
    for folder in arguments.folders:
        sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outfile", str(arguments.out / f"{folder.name}.gguf")]
        try:
            convert_hf_to_gguf.main()
        except Exception:
            traceback.print_exc()
            failed.append(folder.name)
    if failed:
        sys.exit(f"the reference refuses {', '.join(failed)}")


def supply_missing_names(supplied: dict) -> None:
    from conversion.base import TextModel

    known = TextModel.get_vocab_base_pre

    def name_of(self, tokenizer):
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            name = supplied.get(self.dir_model.name)
            if name is None:
                raise
            return name

    TextModel.get_vocab_base_pre = name_of


def write_answers(questions: dict, target: Path) -> None:
    from types import SimpleNamespace

    from conversion.llama import LlamaModel
    from gguf import Metadata, size_label

    def rope_factors(question: dict) -> list:
        rope = {**question, "rope_type": "llama3"}
        model = SimpleNamespace(rope_parameters=rope, hparams=question, format_tensor_name=lambda key: key)
        [(_, factors)] = LlamaModel.generate_extra_tensors(model)
        return factors.tolist()

    fields = ("name", "organization", "basename", "finetune", "version", "sizeLabel")
    answers = {
        "ids": [
            {**dict(zip(fields, Metadata.get_model_id_components(id, count))), "title": Metadata.id_to_title(id)}
            for id, count in questions["ids"]
        ],
        "counts": [size_label(count, count, 0, 0) for count in questions["counts"]],
        "ropes": [rope_factors(question) for question in questions["ropes"]],
    }
    target.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
