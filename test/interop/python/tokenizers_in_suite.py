"""Tokenizers for the test models: real ones from the given folder, and SentencePiece and BPE models trained here."""

import json
import shutil
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GemmaTokenizerFast, LlamaTokenizerFast


class Tokenizers:
    def __init__(self, real: Path, text: Path, cache: Path):
        self.real = real
        self.text = text
        self.cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def copy_real(self, name: str, folder: Path, **config) -> None:
        """A published tokenizer; `config` overrides keys of tokenizer_config.json, None removes one."""
        shutil.copy(self.real / name / "tokenizer.json", folder)
        merge_json(self.real / name / "tokenizer_config.json", folder / "tokenizer_config.json", config)

    def sentencepiece(self, name: str, **options) -> Path:
        path = self.cache / f"{name}.model"
        if not path.exists():
            sentencepiece.SentencePieceTrainer.train(
                input=str(self.text), model_prefix=str(path.with_suffix("")), num_threads=2,
                input_sentence_size=2000, shuffle_input_sentence=False, byte_fallback=True,
                normalization_rule_name="identity", remove_extra_whitespaces=False,
                minloglevel=2, **options,
            )
        return path

    def llama_like(self, folder: Path, **config) -> None:
        model = self.sentencepiece(
            "llama", model_type="bpe", vocab_size=1200, split_digits=True,
            unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        )
        tokenizer = LlamaTokenizerFast(vocab_file=str(model), legacy=False, add_prefix_space=True)
        self._save(tokenizer, model, folder, {"add_prefix_space": None, **config})

    def gemma_like(self, folder: Path, **config) -> None:
        model = self.sentencepiece(
            "gemma", model_type="bpe", vocab_size=1500, split_digits=True, add_dummy_prefix=False,
            pad_id=0, eos_id=1, bos_id=2, unk_id=3,
            user_defined_symbols=["<mask>", "<unused0>", "<start_of_turn>", "<end_of_turn>", "\n\n", "▁▁"],
        )
        self._save(GemmaTokenizerFast(vocab_file=str(model)), model, folder, config)

    def unigram_like(self, folder: Path, **config) -> None:
        model = self.sentencepiece(
            "unigram", model_type="unigram", vocab_size=1000, unk_id=0, bos_id=1, eos_id=2, pad_id=3,
            control_symbols=["<sep>"], user_defined_symbols=["<tool>"],
        )
        shutil.copy(model, folder / "tokenizer.model")
        base = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        write_json(folder / "tokenizer_config.json", without_none({**base, **config}))

    def byte_level(self, folder: Path, special: list, split=None, ignore_merges=False, **config) -> None:
        """
        A byte-level BPE vocabulary that nobody published, so that its hash is unknown. Splits like GPT-2, or by `split`: a pattern, or
        a pre-tokenizer to stand before GPT-2's.
        """
        tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
        if isinstance(split, str):
            before = pre_tokenizers.Split(Regex(split), "isolated")
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [before, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        else:
            own = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.pre_tokenizer = own if split is None else pre_tokenizers.Sequence([split, own])
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=900, special_tokens=special, show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
        tokenizer.train([str(self.text)], trainer)
        tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "tokenizer_config.json", without_none({"tokenizer_class": "PreTrainedTokenizerFast", **config}))

    def _save(self, tokenizer, model: Path, folder: Path, config: dict) -> None:
        tokenizer.save_pretrained(folder)
        shutil.copy(model, folder / "tokenizer.model")
        merge_json(folder / "tokenizer_config.json", folder / "tokenizer_config.json", config)


def without_none(values: dict) -> dict:
    return {key: value for key, value in values.items() if value is not None}


def merge_json(source: Path, target: Path, changes: dict) -> None:
    values = json.loads(source.read_text(encoding="utf-8"))
    for key, value in changes.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
    write_json(target, values)


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
