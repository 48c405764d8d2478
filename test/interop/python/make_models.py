"""Makes one small, randomly initialised model a case, as a Hugging Face folder named for the case."""

import argparse
import shutil
from pathlib import Path

import cases_families
import cases_turns
from making import CASES
from tokenizers_in_suite import Tokenizers

ALL = [cases_families, cases_turns]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizers", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    tokenizers = Tokenizers(arguments.tokenizers, arguments.text, arguments.out / ".trained")
    for name, make in sorted(CASES.items()):
        folder = arguments.out / name
        folder.mkdir(parents=True)
        make(folder, tokenizers)
        print(name, flush=True)


if __name__ == "__main__":
    main()
