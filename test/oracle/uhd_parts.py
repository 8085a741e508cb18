"""Records test/fixtures/moonvit, qwen2 and qwen3 in plain PyTorch, in float64.

Written from the definitions (Kimi-VL's MoonViT: interpolated learned positions, two-dimensional rotary
embedding of adjacent pairs; Qwen2: biases on query, key and value; Qwen3: norms on queries and keys) and
shares nothing with the package. Needs PyTorch and NumPy only; run once: python3 uhd_parts.py OUTPUT_FOLDER
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F

from llava_forward import float32, write_safetensors

torch.set_default_dtype(torch.float64)


class Weights(dict):
    def put(self, name, *shape, around=0.0, std=None):
        std = 1 / math.sqrt(shape[-1]) if std is None else std
        self[name] = (around + std * torch.randn(*shape)).to(torch.float32).to(torch.float64)

    def linear(self, name, out, inside, bias=True):
        self.put(name + ".weight", out, inside)
        if bias:
            self.put(name + ".bias", out, std=0.1)

    def norm(self, name, width, bias=True):
        self.put(name + ".weight", width, around=1.0, std=0.1)
        if bias:
            self.put(name + ".bias", width, std=0.1)

    def apply(self, name, x):
        return F.linear(x, self[name + ".weight"], self.get(name + ".bias"))

    def layer_norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self[name + ".weight"], self[name + ".bias"], eps)

    def rms_norm(self, name, x, eps):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * self[name + ".weight"]


def save(folder, config, weights, recorded, readme):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        file.write(json.dumps(config, indent=2) + "\n")
    write_safetensors(os.path.join(folder, "model.safetensors"), {k: float32(v) for k, v in weights.items()})
    arrays = {k: float32(v) if v.is_floating_point() else v.numpy() for k, v in recorded.items()}
    write_safetensors(os.path.join(folder, "io.safetensors"), arrays)
    with open(os.path.join(folder, "README.md"), "w") as file:
        file.write(readme)


# ----------------------------------------------------------------------------- MoonViT
def moonvit(folder):
    torch.manual_seed(1)
    width, inner, layers, heads, patch, table = 32, 56, 3, 4, 14, 6
    config = {
        "model_type": "moonvit", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "patch_size": patch, "init_pos_emb_height": table, "init_pos_emb_width": table,
    }
    w = Weights()
    w.put("patch_embed.proj.weight", width, 3, patch, patch, std=0.04)
    w.put("patch_embed.proj.bias", width, std=0.1)
    w.put("patch_embed.pos_emb.weight", table, table, width, std=1.0)
    for i in range(layers):
        at = f"encoder.blocks.{i}."
        w.norm(at + "norm0", width)
        w.norm(at + "norm1", width)
        w.linear(at + "wqkv", 3 * width, width)
        w.linear(at + "wo", width, width)
        w.linear(at + "mlp.fc0", inner, width)
        w.linear(at + "mlp.fc1", width, inner)
    w.norm("encoder.final_layernorm", width)

    recorded = {}
    head = width // heads
    frequencies = 10000.0 ** (-torch.arange(0, head, 4).double() / head)  # [head / 4]
    for view, (rows, columns) in enumerate([(8, 4), (4, 12), (6, 6)]):
        image = torch.randn(3, rows * patch, columns * patch).to(torch.float32).to(torch.float64)
        x = F.conv2d(image[None], w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch)
        x = x.flatten(2).transpose(1, 2)[0]
        positions = w["patch_embed.pos_emb.weight"].permute(2, 0, 1)[None]
        if (rows, columns) != (table, table):
            positions = F.interpolate(positions, size=(rows, columns), mode="bicubic", align_corners=False)
        x = x + positions[0].flatten(1).transpose(0, 1)
        row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        # Pair 2j turns by the column, pair 2j + 1 by the row.
        angles = torch.stack(
            [column.flatten()[:, None] * frequencies, row.flatten()[:, None] * frequencies], dim=-1
        ).flatten(1)  # [N, head / 2]
        turn = torch.polar(torch.ones_like(angles), angles)[:, None, :]

        def rotate(q):
            pairs = torch.view_as_complex(q.reshape(*q.shape[:-1], -1, 2).contiguous())
            return torch.view_as_real(pairs * turn).flatten(-2)

        recorded[f"view.{view}.image"] = image
        recorded[f"view.{view}.embeddings"] = x
        for i in range(layers):
            at = f"encoder.blocks.{i}."
            n = w.layer_norm(at + "norm0", x, 1e-5)
            q, k, v = w.apply(at + "wqkv", n).reshape(-1, 3, heads, head).unbind(1)
            scores = torch.einsum("qhd,khd->hqk", rotate(q), rotate(k)) / math.sqrt(head)
            mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1)
            x = x + w.apply(at + "wo", mixed)
            n = w.layer_norm(at + "norm1", x, 1e-5)
            x = x + w.apply(at + "mlp.fc1", F.gelu(w.apply(at + "mlp.fc0", n), approximate="tanh"))
        recorded[f"view.{view}.output"] = w.layer_norm("encoder.final_layernorm", x, 1e-5)
    save(folder, config, w, recorded, """# MoonViT

A tiny random MoonViT on three views, computed in float64 by `test/oracle/uhd_parts.py` from its definition. `view.i.image`
[3, H, W]; `view.i.embeddings` and `view.i.output` [N, D], patches in raster order.
""")


# ----------------------------------------------------------------------------- Qwen
def qwen(folder, family):
    torch.manual_seed(2)
    width, inner, layers, heads, kv_heads, head, vocabulary = 32, 48, 2, 4, 2, 16, 64
    qwen3 = family == "qwen3"
    if not qwen3:
        head = width // heads
    config = {
        "architectures": ["Qwen3ForCausalLM" if qwen3 else "Qwen2ForCausalLM"], "model_type": family,
        "vocab_size": vocabulary, "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "max_position_embeddings": 64, "tie_word_embeddings": not qwen3,
        "use_sliding_window": False,
    }
    if qwen3:
        config.update(head_dim=head, attention_bias=False)
    w = Weights()
    w.put("model.embed_tokens.weight", vocabulary, width, std=1.0)
    for i in range(layers):
        at = f"model.layers.{i}."
        w.norm(at + "input_layernorm", width, bias=False)
        w.norm(at + "post_attention_layernorm", width, bias=False)
        w.linear(at + "self_attn.q_proj", heads * head, width, bias=not qwen3)
        w.linear(at + "self_attn.k_proj", kv_heads * head, width, bias=not qwen3)
        w.linear(at + "self_attn.v_proj", kv_heads * head, width, bias=not qwen3)
        w.linear(at + "self_attn.o_proj", width, heads * head, bias=False)
        if qwen3:
            w.norm(at + "self_attn.q_norm", head, bias=False)
            w.norm(at + "self_attn.k_norm", head, bias=False)
        for name, out, inside in [("gate", inner, width), ("up", inner, width), ("down", width, inner)]:
            w.linear(at + f"mlp.{name}_proj", out, inside, bias=False)
    w.norm("model.norm", width, bias=False)
    if qwen3:
        w.put("lm_head.weight", vocabulary, width)

    batch, length = 2, 9
    ids = torch.randint(0, vocabulary, (batch, length))
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[1, 6:] = 0
    frequencies = 1000000.0 ** (-torch.arange(0, head, 2).double() / head)
    angles = torch.arange(length)[:, None] * frequencies
    cosines, sines = [torch.cat([f(angles)] * 2, -1)[None, :, None] for f in (torch.cos, torch.sin)]

    def rotate(q):
        left, right = q.chunk(2, -1)
        return q * cosines + torch.cat([-right, left], -1) * sines

    hidden = torch.full((length, length), float("-inf")).triu(1)[None, None]
    hidden = hidden.masked_fill((mask == 0)[:, None, None, :], float("-inf"))
    # A padded place may see itself: what it computes is not compared.
    hidden = hidden.masked_fill(torch.eye(length, dtype=torch.bool)[None, None], 0.0)
    x = w["model.embed_tokens.weight"][ids]
    recorded = {"right.input_ids": ids, "right.attention_mask": mask, "right.hidden_states.0": x}
    for i in range(layers):
        at = f"model.layers.{i}."
        n = w.rms_norm(at + "input_layernorm", x, 1e-6)
        q, k, v = [w.apply(at + f"self_attn.{p}_proj", n).reshape(batch, length, -1, head) for p in "qkv"]
        if qwen3:
            q = w.rms_norm(at + "self_attn.q_norm", q, 1e-6)
            k = w.rms_norm(at + "self_attn.k_norm", k, 1e-6)
        q, k = rotate(q), rotate(k)
        k, v = [t.repeat_interleave(heads // kv_heads, 2) for t in (k, v)]
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(head) + hidden
        mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2)
        x = x + w.apply(at + "self_attn.o_proj", mixed)
        n = w.rms_norm(at + "post_attention_layernorm", x, 1e-6)
        x = x + w.apply(at + "mlp.down_proj", F.silu(w.apply(at + "mlp.gate_proj", n)) * w.apply(at + "mlp.up_proj", n))
        if i + 1 < layers:
            recorded[f"right.hidden_states.{i + 1}"] = x
    x = w.rms_norm("model.norm", x, 1e-6)
    recorded[f"right.hidden_states.{layers}"] = x
    logits = F.linear(x, w.get("lm_head.weight", w["model.embed_tokens.weight"]))
    recorded["right.logits"] = logits
    # The second half of the first sample again, one token at a time.
    recorded["decode.prefix_ids"] = ids[0, :4]
    recorded["decode.forced_ids"] = ids[0, 4:]
    recorded["decode.logits"] = logits[0, 3:]
    save(folder, config, w, recorded, f"""# {config["architectures"][0]}

A tiny random decoder with recorded inputs, intermediates and outputs, computed in float64 by `test/oracle/uhd_parts.py` from
its definition. `right.*`: a batch padded on the right; `decode.*`: a prefix, then tokens one at a time.
""")


if __name__ == "__main__":
    output = sys.argv[1]
    moonvit(os.path.join(output, "moonvit"))
    qwen(os.path.join(output, "qwen2"), "qwen2")
    qwen(os.path.join(output, "qwen3"), "qwen3")
