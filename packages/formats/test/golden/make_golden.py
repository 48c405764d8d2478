"""Makes the golden files of this folder with other people's programs: gguf-py, llama-imatrix, llama-quantize and
llama-gguf-split of llama.cpp v0.4.0, PyTorch, safetensors, NumPy and ml_dtypes.

    python make_golden.py LLAMA_CPP_SOURCE LLAMA_CPP_BINARIES

Needs numpy, ml_dtypes, torch and safetensors. Everything is seeded; running it again gives the same bytes.
"""

import ctypes
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import torch
from safetensors.torch import save_file

source, binaries = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(source / "gguf-py"))
import gguf  # noqa: E402

here = Path(__file__).parent
rng = np.random.default_rng(7)


def write_json(name, value):
    (here / name).write_text(json.dumps(value, indent=1) + "\n")


def ggml_types():
    """Name, block size and block bytes of every tensor type, from the native library itself."""
    library = ctypes.CDLL(str(binaries / "libggml-base.so"))
    library.ggml_type_name.restype = ctypes.c_char_p
    library.ggml_blck_size.restype = ctypes.c_int64
    library.ggml_type_size.restype = ctypes.c_size_t
    types = {}
    for number in range(43):
        if library.ggml_blck_size(number) > 0:
            name = library.ggml_type_name(number).decode().upper()
            types[name] = [number, library.ggml_blck_size(number), library.ggml_type_size(number)]
    write_json("ggml-types.json", types)


def all_values():
    """Every metadata type and several tensor types, by gguf-py; what its own reader finds beside it."""
    path = here / "values.gguf"
    writer = gguf.GGUFWriter(path, "test")
    writer.add_uint8("t.uint8", 255)
    writer.add_int8("t.int8", -128)
    writer.add_uint16("t.uint16", 65535)
    writer.add_int16("t.int16", -32768)
    writer.add_uint32("t.uint32", 4294967295)
    writer.add_int32("t.int32", -2147483648)
    writer.add_float32("t.float32", 0.1)
    writer.add_uint64("t.uint64", 2**64 - 1)
    writer.add_int64("t.int64", -(2**63))
    writer.add_float64("t.float64", 0.1)
    writer.add_bool("t.true", True)
    writer.add_bool("t.false", False)
    writer.add_string("t.string", "naïve 日本 \ufeff𝄞")
    writer.add_array("t.strings", ["a", "", "ß", "long " * 50])
    writer.add_array("t.ints", [1, -2, 3])
    writer.add_array("t.floats", [0.5, -1.25])
    writer.add_array("t.bools", [True, False, True])
    writer.add_array("t.nested", [[1, 2], [3], [4, 5, 6]])
    writer.add_tensor("f32", rng.standard_normal((3, 5)).astype(np.float32))
    writer.add_tensor("f16", rng.standard_normal((2, 3, 4)).astype(np.float16))
    writer.add_tensor("i32", np.arange(7, dtype=np.int32))
    for name in ("Q4_0", "Q8_0", "Q5_1", "Q4_K", "TQ2_0", "MXFP4"):
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = rng.integers(0, 256, (3, 2 * size), dtype=np.uint8)
        writer.add_tensor(name.lower(), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reader = gguf.GGUFReader(path)
    write_json("values.json", {
        "alignment": reader.alignment,
        "dataOffset": reader.data_offset,
        "keys": [name for name in reader.fields if not name.startswith("GGUF.")],
        "tensors": [
            {
                "name": t.name,
                "type": t.tensor_type.name,
                "shape": [int(n) for n in t.shape],
                "offset": int(t.data_offset),
                "byteLength": int(t.n_bytes),
                "sha256": hashlib.sha256(t.data.tobytes()).hexdigest(),
            }
            for t in reader.tensors
        ],
    })


def tiny_model(path, experts):
    """A llama of one block and byte tokens; with experts, a mixture."""
    width, hidden = 32, 64
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["▁"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(1)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def add(name, *shape):
        writer.add_tensor(name, (rng.standard_normal(shape) * 0.2).astype(np.float16 if len(shape) > 1 else np.float32))

    add("token_embd.weight", len(tokens), width)
    add("blk.0.attn_norm.weight", width)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.0.{name}.weight", width, width)
    add("blk.0.ffn_norm.weight", width)
    if experts:
        # A router that sends everything one way, so that some experts never see a token.
        router = np.zeros((experts, width), dtype=np.float32)
        writer.add_tensor("blk.0.ffn_gate_inp.weight", router + np.arange(experts)[:, None].astype(np.float32))
        add("blk.0.ffn_gate_exps.weight", experts, hidden, width)
        add("blk.0.ffn_up_exps.weight", experts, hidden, width)
        add("blk.0.ffn_down_exps.weight", experts, width, hidden)
    else:
        add("blk.0.ffn_gate.weight", hidden, width)
        add("blk.0.ffn_up.weight", hidden, width)
        add("blk.0.ffn_down.weight", width, hidden)
    add("output_norm.weight", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(*command):
    subprocess.run([str(part) for part in command], check=True, cwd=here, stdout=subprocess.DEVNULL)


def llama_files():
    """Importance matrices by llama-imatrix (both forms, dense and mixture); a model by llama-quantize, whole and split."""
    (here / "text.tmp").write_text("".join(chr(32 + int(c)) for c in rng.integers(0, 90, 400)))
    for name, experts in (("dense", 0), ("experts", 4)):
        tiny_model(here / f"{name}.tmp.gguf", experts)
        for form in ("gguf", "dat"):
            if experts and form == "dat":
                continue
            run(binaries / "llama-imatrix", "-m", f"{name}.tmp.gguf", "-f", "text.tmp", "-c", 32, "-b", 32, "--no-ppl",
                "-t", 1, "-o", f"imatrix-{name}.{form}", "--output-format", form)
    run(binaries / "llama-quantize", "--imatrix", "imatrix-dense.gguf", "dense.tmp.gguf", "quantized.gguf", "Q4_0", 1)
    run(binaries / "llama-gguf-split", "--split-max-tensors", 8, "quantized.gguf", "split")
    for path in here.glob("*tmp*"):
        path.unlink()


def safetensors_file():
    """Every element type that PyTorch can make, in an order that its writer changes."""
    floats = torch.tensor([[0.0, -1.5, 448.0], [2.0**-9, 1e-3, 57344.0]])
    kinds = {
        "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
        "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2, "i64": torch.int64, "i32": torch.int32,
        "i16": torch.int16, "i8": torch.int8, "u64": torch.uint64, "u32": torch.uint32, "u16": torch.uint16,
        "u8": torch.uint8, "bool": torch.bool,
    }
    tensors = {f"b.{name}": floats.abs().clamp(max=100).to(kind) for name, kind in kinds.items()}
    tensors |= {"a.scalar": torch.tensor(3.5), "a.empty": torch.zeros(0, 4, dtype=torch.int16), "é\"\\": floats}
    save_file(tensors, here / "dtypes.safetensors", metadata={"format": "pt"})


def float_hashes():
    """SHA-256 of whole conversion tables as NumPy and ml_dtypes compute them; NaN codes count as one.

    PyTorch is no oracle here: it saturates E4M3 where the format's own rule gives NaN.
    """
    kinds = {
        "f16": (np.float16, np.uint16, 0x7E00), "bf16": (ml_dtypes.bfloat16, np.uint16, 0x7FC0),
        "f8_e4m3": (ml_dtypes.float8_e4m3fn, np.uint8, 0x7F), "f8_e5m2": (ml_dtypes.float8_e5m2, np.uint8, 0x7E),
    }
    # Every upper half of a float32 with lower halves around the rounding boundaries of each format.
    low = np.array([0, 1, 0x0FFF, 0x1000, 0x1001, 0x2000, 0x2FFF, 0x3000, 0x3001, 0x7FFF, 0x8000, 0x8001, 0xFFFF],
                   dtype=np.uint32)
    inputs = ((np.arange(65536, dtype=np.uint32) << 16)[:, None] | low).ravel().view(np.float32)
    hashes = {"low": [int(value) for value in low]}
    for name, (kind, code, nan) in kinds.items():
        with np.errstate(all="ignore"):
            decoded = np.arange(np.iinfo(code).max + 1).astype(code).view(kind).astype(np.float32)
            encoded = inputs.astype(kind).view(code)
        decoded = np.where(np.isnan(decoded), np.float32(np.nan), decoded)
        encoded = np.where(np.isnan(inputs), code(nan), encoded)
        hashes[name] = {
            "decoded": hashlib.sha256(decoded.tobytes()).hexdigest(),
            "encoded": hashlib.sha256(encoded.tobytes()).hexdigest(),
        }
    write_json("floats.json", hashes)


ggml_types()
all_values()
llama_files()
safetensors_file()
float_hashes()
