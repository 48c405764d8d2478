"""Turns that a configuration, a tokenizer or a set of weights can take, each on the smallest model that shows it."""

import json

import torch
from tokenizers import pre_tokenizers
from safetensors.torch import load_file, save_file
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from making import SMALL, card, case, change_config, save
from tokenizers_in_suite import merge_json, write_json

END = "<|endoftext|>"


def template(single, pair=None):
    """A post-processor that frames texts: strings are tokens, A and B the texts."""

    def piece(name):
        return {"Sequence": {"id": name, "type_id": 0}} if name in "AB" else {"SpecialToken": {"id": name, "type_id": 0}}

    names = {name for name in [*single, *(pair or [])] if name not in "AB"}
    return {
        "type": "TemplateProcessing",
        "single": [piece(name) for name in single],
        "pair": [piece(name) for name in pair or ["A", "B"]],
        "special_tokens": {name: {"id": name, "ids": [0], "tokens": [name]} for name in names},
    }


def change_tokenizer(folder, **changes):
    merge_json(folder / "tokenizer.json", folder / "tokenizer.json", changes)


def byte_level_llama(folder, tokenizers, special=(END,), vocab_size=920, **config):
    save(LlamaForCausalLM, LlamaConfig(**SMALL, vocab_size=vocab_size), folder)
    tokenizers.byte_level(folder, list(special), **config)


@case
def turn_refused_rope(folder, tokenizers):
    """A scaling that transformers refuses: config.json is taken as it stands, without defaults."""
    byte_level_llama(folder, tokenizers, eos_token=END)
    change_config(folder, rope_scaling={"type": "linear"}, rms_norm_eps=1e-5, head_dim=None, tie_word_embeddings=None)


@case
def turn_unknown_model_type(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END)
    change_config(folder, model_type="a-type-that-nobody-knows", head_dim=None, sliding_window=None, n_ctx=77)


@case
def turn_mistral_layer_types(folder, tokenizers):
    save(MistralForCausalLM, MistralConfig(**SMALL, vocab_size=1200), folder)
    tokenizers.llama_like(folder)
    change_config(folder, layer_types=["sliding_attention", "full_attention"], head_dim=None)


@case
def turn_rope_dynamic(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END)
    change_config(folder, rope_scaling={"rope_type": "dynamic", "factor": 2.0}, is_causal=False,
                  mrope_section=[1, 2], partial_rotary_factor=0.5)


@case
def turn_all_base_keys(folder, tokenizers):
    """Keys that belong to no Llama, but that the converter writes wherever it finds them."""
    byte_level_llama(folder, tokenizers, eos_token=END)
    change_config(folder, layer_norm_eps=1e-4, n_group=2, topk_group=1, scoring_func="sigmoid", num_experts_per_tok=3,
                  num_experts=8, rope_parameters={"rope_theta": 5000, "rope_type": "yarn", "factor": 3, "beta_fast": 31,
                                                  "extrapolation_factor": 0.5, "attn_factor": 1.25,
                                                  "original_max_position_embeddings": 99, "mrope_section": [4, 5, 6, 7, 8]})


@case
def turn_no_tokenizer_config(folder, tokenizers):
    byte_level_llama(folder, tokenizers, special=["<s>", "</s>", "<unk>", "<pad>"])
    (folder / "tokenizer_config.json").unlink()
    change_tokenizer(folder, post_processor=template(["<s>", "A", "</s>"]))
    change_config(folder, tokenizer_class="PreTrainedTokenizerFast", pad_token_id=3)


@case
def turn_class_from_model_type(folder, tokenizers):
    """No class named: Llama's frames texts and assumes <unk>, <s> and </s>, which are new here."""
    byte_level_llama(folder, tokenizers, tokenizer_class=None, vocab_size=910)


@case
def turn_legacy_special_map(folder, tokenizers):
    byte_level_llama(folder, tokenizers, special=[END, "<a>", "<b>"], eos_token="<a>")
    write_json(folder / "special_tokens_map.json", {
        "eos_token": {"content": "<b>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
        "additional_special_tokens": ["<new>", {"content": "<a>", "normalized": True}], "pad_token": "the",
    })
    write_json(folder / "added_tokens.json", {"<later>": 905, "<b>": 2})


@case
def turn_flags_differ(folder, tokenizers):
    """tokenizer_config.json and tokenizer.json disagree on flags, and the first brings tokens of its own."""
    byte_level_llama(
        folder, tokenizers, special=[END, "<|x|>", "é", "Ġword"], bos_token=END, eos_token="<stop>",
        additional_special_tokens=["<|y|>", "the"], extra_special_tokens={"image_token": "<img>"},
        clean_up_tokenization_spaces=True,
        added_tokens_decoder={
            "0": {"content": END, "special": False, "normalized": True},
            "1": {"content": "<|x|>", "special": True, "normalized": False, "lstrip": True},
            "2": {"content": "é", "special": False, "normalized": False},
            "3": {"content": "Ġword", "special": False, "normalized": False},
            "901": {"content": "loose .", "special": False, "normalized": False},
            "902": {"content": "▁under", "special": False, "normalized": True},
            "903": {"content": "<unused7>", "special": False},
            "904": {"content": "<stop>", "special": False},
        })


@case
def turn_prefix_space(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END, add_prefix_space=False)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change_tokenizer(folder, pre_tokenizer={**tokenizer["pre_tokenizer"], "add_prefix_space": True})


@case
def turn_llama_class_on_bpe(folder, tokenizers):
    """A byte-level vocabulary under Llama's class, which then frames texts: its hash is Llama 3's all the same."""
    save(LlamaForCausalLM, LlamaConfig(**SMALL, vocab_size=128256), folder)
    tokenizers.copy_real("llama3", folder, tokenizer_class="LlamaTokenizerFast", legacy=True, unk_token=None,
                         add_bos_token=True, add_eos_token=False, bos_token={
                             "__type": "AddedToken", "content": "<|begin_of_text|>", "lstrip": False, "normalized": True,
                             "rstrip": False, "single_word": False}, sp_model_kwargs={})
    merge_json(folder / "tokenizer_config.json", folder / "tokenizer_config.json", {"model_max_length": 16384})
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", {**config, "unk_token": None})


@case
def turn_end_of_turn(folder, tokenizers):
    """A template that ends texts with another token than EOS: EOS becomes the end of a turn."""
    byte_level_llama(folder, tokenizers, special=["<s>", "<end>", "<turn>", "<sep>"], bos_token="<s>",
                     eos_token={"content": "<turn>"}, sep_token="<sep>", add_bos_token=None,
                     additional_special_tokens=[])
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", {**config, "eos_token": "<turn>"})
    change_tokenizer(folder, post_processor={"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        template(["<s>", "A", "<end>"], ["<s>", "A", "<sep>", "<end>", "B", "<end>"])]})


@case
def turn_classifier_tokens(folder, tokenizers):
    """CLS and SEP in the places of BOS and EOS, a pair with one separator, and a normalizer with flags."""
    save(Qwen2ForCausalLM, Qwen2Config(**SMALL, vocab_size=920), folder)
    tokenizers.byte_level(folder, ["[CLS]", "[SEP]", "[MASK]"], cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
                          tokenizer_class="PreTrainedTokenizerFast")
    change_tokenizer(
        folder, normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
        post_processor=template(["[CLS]", "A"], ["[CLS]", "A", "[SEP]", "B"]))


@case
def turn_roberta(folder, tokenizers):
    save(Qwen3ForCausalLM, Qwen3Config(**SMALL, head_dim=16, vocab_size=920), folder)
    tokenizers.byte_level(folder, ["<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    change_tokenizer(folder, post_processor={
        "type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False})


@case
def turn_merges(folder, tokenizers):
    """Merges in the older spelling, and with a space inside a part."""
    byte_level_llama(folder, tokenizers, eos_token=END)
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    change_tokenizer(folder, model={**model, "merges": [" ".join(pair) for pair in model["merges"]]})


@case
def turn_templates_in_files(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END)
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    (folder / "additional_chat_templates").mkdir()
    for name in ("tool_use", "rag"):
        (folder / "additional_chat_templates" / f"{name}.jinja").write_text(name, encoding="utf-8")


@case
def turn_mixed_types(folder, tokenizers):
    """Weights of several types: the first half-precision matrix decides for all."""
    byte_level_llama(folder, tokenizers, eos_token=END)
    weights = load_file(folder / "model.safetensors")
    types = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
    for index, name in enumerate(sorted(weights)):
        weights[name] = weights[name].to(types[index % 4]).contiguous()
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@case
def turn_files_without_index(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for part, chosen in enumerate([names[::2], names[1::2]]):
        save_file({name: weights[name] for name in chosen}, folder / f"model-{part}.safetensors")


@case
def turn_vision_new_config(folder, tokenizers):
    """A model that sees, spelt the newer way, with a text half that leaves almost everything to the defaults."""
    text = Gemma3TextConfig(**SMALL, head_dim=32, vocab_size=1540)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}
    save(Gemma3ForConditionalGeneration, Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4), folder)
    tokenizers.gemma_like(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kept = {**SMALL, "head_dim": 32, "vocab_size": 1540, "final_logit_softcapping": 0,
            "rope_parameters": {"full_attention": {"rope_theta": 2e6, "rope_type": "default"},
                                "sliding_attention": {"rope_theta": 3e4, "rope_type": "default"}}}
    write_json(folder / "config.json", {**config, "text_config": kept})


@case
def turn_phi3_new_config(folder, tokenizers):
    save(Phi3ForCausalLM, Phi3Config(**SMALL, vocab_size=1210, pad_token_id=3, eos_token_id=2), folder)
    tokenizers.llama_like(folder, tokenizer_class="LlamaTokenizer")
    change_config(folder, rope_scaling=None, rope_theta=None, partial_rotary_factor=None, rope_parameters={
        "rope_type": "longrope", "rope_theta": 20000.0, "short_factor": [1.25] * 4, "long_factor": [2.5] * 4,
        "partial_rotary_factor": 0.5, "original_max_position_embeddings": 2048})


@case
def turn_phi3_refused_rope(folder, tokenizers):
    """A scaling of four keys, which Phi-3's configuration refuses; llama.cpp reads it from config.json as it stands."""
    save(Phi3ForCausalLM, Phi3Config(**SMALL, vocab_size=1210, pad_token_id=3, eos_token_id=2), folder)
    tokenizers.llama_like(folder, tokenizer_class="LlamaTokenizer")
    change_config(folder, rope_scaling={"type": "su", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "note": 1},
                  original_max_position_embeddings=1024, max_position_embeddings=8192)


@case
def turn_card_oddities(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END)
    change_config(folder, _name_or_path="some-org/Base-Model-8K-v1.5")
    card(folder, "name: 'A: quoted name'\nbase_model:\ndataset:\n\t- one/Two-v3\n\t- http://example.org/x\n"
         "license: other # with a comment\ndescription: >\n  folded\n  text\nurl: https://example.org\ndoi: 10.1/2\n"
         "language: no\ntags:\n- a\n- no\n- 'b c'\n")


@case
def turn_card_without_head(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END)
    (folder / "README.md").write_text("# license: mit\n---\nlicense: mit\n---\n", encoding="utf-8")
    (folder / "generation_config.json").write_text("{ not json", encoding="utf-8")


@case
def turn_48k_granite_3b(folder, tokenizers):
    byte_level_llama(folder, tokenizers, eos_token=END, add_bos_token=True, vocab_size=49152)


LETTERS = "[^\\r\\n\\p{L}\\p{N}]?"
UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
LLAMA3 = f"{SHORT}|{LETTERS}\\p{{L}}+|\\p{{N}}{{1,3}}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n]*|{REST}"
QWEN2 = LLAMA3.replace("{1,3}", "")
CASED = f"{LETTERS}{UPPER}*{LOWER}+SHORT|{LETTERS}{UPPER}+{LOWER}*SHORT|\\p{{N}}{{1,3}}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n/]*|{REST}"
GPT_4O = CASED.replace("SHORT", SHORT + "?")
TEKKEN = CASED.replace("SHORT", "").replace("{1,3}", "")


def own_vocabulary(folder, tokenizers, split, **options):
    byte_level_llama(folder, tokenizers, eos_token=END, add_bos_token=False, split=split, **options)


@case
def own_vocabulary_llama3(folder, tokenizers):
    own_vocabulary(folder, tokenizers, LLAMA3, ignore_merges=True)


@case
def own_vocabulary_smaug(folder, tokenizers):
    own_vocabulary(folder, tokenizers, LLAMA3)


@case
def own_vocabulary_qwen2(folder, tokenizers):
    own_vocabulary(folder, tokenizers, QWEN2)


@case
def own_vocabulary_gpt_4o(folder, tokenizers):
    own_vocabulary(folder, tokenizers, GPT_4O)


@case
def own_vocabulary_tekken(folder, tokenizers):
    own_vocabulary(folder, tokenizers, TEKKEN, ignore_merges=True)


@case
def own_vocabulary_smollm(folder, tokenizers):
    own_vocabulary(folder, tokenizers, pre_tokenizers.Digits(individual_digits=True))
