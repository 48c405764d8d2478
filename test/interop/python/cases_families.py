"""One case or more for each family, as their models are published."""

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
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

from making import LLAMA3_ROPE, SMALL, card, case, change_config, save
from tokenizers_in_suite import write_json


@case
def Meta_Llama_3__2_8M_Instruct(folder, tokenizers):
    config = LlamaConfig(
        **{**SMALL, "num_attention_heads": 4, "num_key_value_heads": 1}, head_dim=64, vocab_size=128256,
        rope_theta=500000.0, rope_scaling=LLAMA3_ROPE, tie_word_embeddings=True, max_position_embeddings=131072,
        bos_token_id=128000, eos_token_id=[128001, 128008, 128009],
    )
    save(LlamaForCausalLM, config, folder, shard="300KB")
    tokenizers.copy_real("llama3_1", folder)
    write_json(folder / "generation_config.json", {"temperature": 0.6, "top_p": 0.9, "top_k": 50, "do_sample": True})
    card(folder, "license: llama3.2\nlanguage:\n- en\n- no\n- de\nbase_model: meta-llama/Meta-Llama-3.1-8B\n"
         "tags: [facebook, meta]\npipeline_tag: text-generation\nlicense_name: llama-3\nlicense_link: LICENSE\n"
         "datasets:\n- HuggingFaceH4/ultrachat_200k\n- https://huggingface.co/org/Set-v2\n")


@case
def llama_smaug(folder, tokenizers):
    config = LlamaConfig(**SMALL, vocab_size=128256, rope_theta=500000.0, pad_token_id=128001)
    save(LlamaForCausalLM, config, folder, dtype=torch.float16)
    tokenizers.copy_real("llama3", folder, chat_template=None)
    (folder / "chat_template.jinja").write_bytes("{{ bos_token }}\r\n{% for m in messages %}ü{% endfor %}\n".encode())
    change_config(folder, _name_or_path="abacusai/Smaug-Llama-3-70B-Instruct", rms_norm_eps=None, head_dim=None,
                  max_position_embeddings=None, rope_theta=500000)


@case
def Llama_2_7b_chat_hf(folder, tokenizers):
    config = LlamaConfig(
        **SMALL, vocab_size=1210, attention_bias=True, mlp_bias=True, head_dim=24,
        rope_scaling={"type": "linear", "factor": 2.5},
    )
    save(LlamaForCausalLM, config, folder, dtype=torch.float16, shard="60KB")
    tokenizers.llama_like(folder, add_prefix_space=True, pad_token="<pad>", chat_template=[
        {"name": "default", "template": "{{ messages }}"}, {"name": "tool use", "template": "{{ tools }}"},
    ])
    write_json(folder / "added_tokens.json", {"<pad>": 1200, "<|extra|>": 1201, "▁user": 1203, "<far>": 5000})
    write_json(folder / "generation_config.json", {"repetition_penalty": 1.1, "min_p": 0.05, "temperature": None})
    card(folder, "model_name: A named model\nmodel_creator: Some One\nmodel_type: llama\nversion: v1.2\n"
         "base_model:\n- https://huggingface.co/meta-llama/Llama-2-7b-hf\n- {name: Own, organization: Us, version: '2'}\n"
         "license: [mit, apache-2.0]\nlanguages: fr\n")


@case
def llama_byte_fallback(folder, tokenizers):
    config = LlamaConfig(
        **{**SMALL, "num_key_value_heads": 4}, vocab_size=32000,
        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512,
                      "attention_factor": 1.2, "beta_fast": 30.0, "beta_slow": 2.0},
    )
    save(LlamaForCausalLM, config, folder, dtype=torch.float32)
    tokenizers.copy_real("llama2", folder)


@case
def CodeLlama_0__1B(folder, tokenizers):
    config = LlamaConfig(**SMALL, vocab_size=32016, rope_theta=1000000)
    save(LlamaForCausalLM, config, folder)
    tokenizers.unigram_like(folder, add_eos_token=True, bos_token={"__type": "AddedToken", "content": "<s>"},
                            additional_special_tokens=["<tool>"])


@case
def llama_new_config(folder, tokenizers):
    """The spelling of newer configurations: everything of the rotary embedding in rope_parameters."""
    config = LlamaConfig(**SMALL, vocab_size=1000)
    save(LlamaForCausalLM, config, folder)
    tokenizers.byte_level(folder, ["<|endoftext|>", "<|im_start|>", "Ġspaced", "<|tool|>"],
                          bos_token="<|endoftext|>", eos_token="<|im_end|>", add_bos_token=True)
    change_config(folder, rope_theta=None, rope_scaling=None, head_dim=None,
                  rope_parameters={**LLAMA3_ROPE, "factor": 8.0, "rope_theta": 500000.0})


@case
def Mistral_7B_v0__3(folder, tokenizers):
    config = MistralConfig(**SMALL, vocab_size=1200, sliding_window=128, rope_theta=1000000.0)
    save(MistralForCausalLM, config, folder)
    tokenizers.llama_like(folder, chat_template="{{ bos_token }}[INST]")


@case
def mistral_tiktoken(folder, tokenizers):
    config = MistralConfig(**SMALL, head_dim=32, vocab_size=200064, sliding_window=None)
    save(MistralForCausalLM, config, folder)
    tokenizers.copy_real("gpt4o", folder)
    change_config(folder, rms_norm_eps=None, max_position_embeddings=None, rope_theta=None)


@case
def Qwen2__5_0__5B_Instruct(folder, tokenizers):
    config = Qwen2Config(
        **SMALL, vocab_size=151936, tie_word_embeddings=True, use_sliding_window=True, sliding_window=64,
        max_window_layers=1, rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    )
    save(Qwen2ForCausalLM, config, folder)
    tokenizers.copy_real("qwen3", folder)
    card(folder, "license: apache-2.0\nlicense_link: https://example.org/LICENSE\nlanguage:\n- en\nbase_model:\n- Qwen/Qwen2.5-0.5B\n"
         "tags:\n- chat\nlibrary_name: transformers\n")


@case
def qwen2_embedding(folder, tokenizers):
    config = Qwen2Config(**SMALL, vocab_size=1600, max_position_embeddings=4096)
    save(Qwen2ForCausalLM, config, folder, dtype=torch.float16)
    tokenizers.gemma_like(folder)
    write_json(folder / "modules.json", [{"idx": 1, "name": "1", "path": "1_Pooling",
                                          "type": "sentence_transformers.models.Pooling"}])
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False})


@case
def Qwen3_4B_Thinking_2507(folder, tokenizers):
    config = Qwen3Config(**SMALL, head_dim=48, vocab_size=151936, rope_theta=5000000, attention_bias=False)
    save(Qwen3ForCausalLM, config, folder, shard="200KB")
    tokenizers.copy_real("qwen3", folder, additional_special_tokens=None)
    write_json(folder / "generation_config.json", {"top_k": 20, "top_p": 0.95, "temperature": 0.6, "eos_token_id": [1, 2]})
    change_config(folder, rms_norm_eps=None, sliding_window=None)


@case
def gemma_3_1b_it(folder, tokenizers):
    config = Gemma3TextConfig(
        **SMALL, head_dim=32, vocab_size=1540, sliding_window=48, query_pre_attn_scalar=32,
        rope_scaling={"rope_type": "linear", "factor": 8.0}, max_position_embeddings=2048,
    )
    save(Gemma3ForCausalLM, config, folder)
    tokenizers.gemma_like(folder, chat_template="<start_of_turn>{{ messages }}")


@case
def gemma3_half(folder, tokenizers):
    config = Gemma3TextConfig(**SMALL, head_dim=16, vocab_size=1500, final_logit_softcapping=30.0,
                              use_bidirectional_attention=True, sliding_window=33)
    save(Gemma3ForCausalLM, config, folder, dtype=torch.float16)
    tokenizers.gemma_like(folder)


@case
def gemma3_tokenizer_json(folder, tokenizers):
    config = Gemma3TextConfig(**SMALL, head_dim=32, vocab_size=262208)
    save(Gemma3ForCausalLM, config, folder)
    tokenizers.copy_real("gemma3", folder)


@case
def gemma3_spare_rows(folder, tokenizers):
    """Rows of the embedding that no token uses, and a configuration with settings for each kind of layer."""
    config = Gemma3TextConfig(**SMALL, head_dim=32, vocab_size=960)
    save(Gemma3ForCausalLM, config, folder, dtype=torch.float32)
    tokenizers.byte_level(folder, ["<pad>", "<eos>", "<bos>"], bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    change_config(folder, rope_theta=None, rope_local_base_freq=None, rope_scaling=None, sliding_window=None,
                  rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                                   "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})


@case
def gemma_3_4b_it(folder, tokenizers):
    """The model that sees: only its text half is converted."""
    text = Gemma3TextConfig(**SMALL, head_dim=32, vocab_size=1540, sliding_window=64, query_pre_attn_scalar=32)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    save(Gemma3ForConditionalGeneration, config, folder)
    tokenizers.gemma_like(folder)
    (folder / "chat_template.json").write_text('{"chat_template": "<start_of_turn>{{ m }}"}', encoding="utf-8")


@case
def Phi_3__5_mini_128k_instruct(folder, tokenizers):
    config = Phi3Config(
        **SMALL, vocab_size=1216, max_position_embeddings=131072, original_max_position_embeddings=4096,
        rope_scaling={"type": "longrope", "short_factor": [1.0 + i / 7 for i in range(8)],
                      "long_factor": [1.5 * (i + 1) for i in range(8)]},
        sliding_window=262144, pad_token_id=3, eos_token_id=2,
    )
    save(Phi3ForCausalLM, config, folder)
    tokenizers.llama_like(folder, tokenizer_class="LlamaTokenizer", added_tokens_decoder={
        "1200": {"content": "<|endoftext|>", "special": True}, "1201": {"content": "<|user|>", "special": False},
        "2": {"content": "</s>", "special": False, "rstrip": True},
    }, eos_token="<|endoftext|>")


@case
def phi3_4k(folder, tokenizers):
    config = Phi3Config(**SMALL, vocab_size=1200, sliding_window=2047, pad_token_id=3, eos_token_id=2,
                        tie_word_embeddings=False)
    save(Phi3ForCausalLM, config, folder, dtype=torch.float16)
    tokenizers.llama_like(folder, tokenizer_class="LlamaTokenizer")


@case
def Phi_4_mini_instruct(folder, tokenizers):
    config = Phi3Config(
        **SMALL, vocab_size=200064, tie_word_embeddings=True, partial_rotary_factor=0.75, max_position_embeddings=131072,
        original_max_position_embeddings=4096, pad_token_id=199999, eos_token_id=199999, bos_token_id=199999,
        rope_scaling={"type": "longrope", "short_factor": [1.0] * 6, "long_factor": [1.0 + i for i in range(6)]},
    )
    save(Phi3ForCausalLM, config, folder)
    tokenizers.copy_real("gpt4o", folder, added_tokens_decoder={
        "199999": {"content": "<|endoftext|>", "special": True}, "200018": {"content": "<|endofprompt|>", "special": True},
        "200019": {"content": "<|assistant|>", "special": False, "normalized": False, "rstrip": True},
    }, clean_up_tokenization_spaces=True)
