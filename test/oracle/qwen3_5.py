"""Records test/fixtures/qwen3-5: a tiny Qwen3.5 text model in plain PyTorch, in float64.

Written from the definitions: Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464, equation 10, one token at a
time, with the state as value times key), and attention with an output gate, norms of queries and keys,
weights of norms stored less one, and a quarter of each head turned by its place. Shares nothing with the
package. Needs PyTorch and NumPy only; run once: python3 qwen3_5.py OUTPUT_FOLDER
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F

from llava_forward import float32, write_safetensors
from uhd_parts import Weights

torch.set_default_dtype(torch.float64)

CONFIG = {
    "architectures": ["Qwen3_5ForCausalLM"],
    "model_type": "qwen3_5_text",
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "attn_output_gate": True,
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 10,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 100.0,
        "partial_rotary_factor": 0.25,
        "mrope_section": [1, 1, 0],
        "mrope_interleaved": True,
    },
}

# Parameters whose gradients are recorded: everything that other decoders do not have.
RECORDED_GRADIENTS = ["layers.0.linear_attn.", "layers.2.linear_attn.A_log", "layernorm", "self_attn.q_", "embed"]


def draw():
    c, w = CONFIG, Weights()
    hidden, inner, head = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    key = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    value = c["linear_num_value_heads"] * c["linear_value_head_dim"]
    heads = c["linear_num_value_heads"]
    w.put("model.embed_tokens.weight", c["vocab_size"], hidden, std=0.5)
    w.put("model.norm.weight", hidden, std=0.2)
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        w.put(at + "input_layernorm.weight", hidden, std=0.2)
        w.put(at + "post_attention_layernorm.weight", hidden, std=0.2)
        for name, out, inside in [("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner)]:
            w.put(f"{at}mlp.{name}_proj.weight", out, inside)
        if (i + 1) % c["full_attention_interval"] == 0:
            queries, shared = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
            w.put(at + "self_attn.q_proj.weight", 2 * queries, hidden, std=0.3)
            w.put(at + "self_attn.k_proj.weight", shared, hidden, std=0.3)
            w.put(at + "self_attn.v_proj.weight", shared, hidden)
            w.put(at + "self_attn.o_proj.weight", hidden, queries)
            w.put(at + "self_attn.q_norm.weight", head, std=0.2)
            w.put(at + "self_attn.k_norm.weight", head, std=0.2)
            continue
        at += "linear_attn."
        w.put(at + "in_proj_qkv.weight", 2 * key + value, hidden, std=0.3)
        w.put(at + "in_proj_z.weight", value, hidden, std=0.3)
        w.put(at + "in_proj_a.weight", heads, hidden, std=0.3)
        w.put(at + "in_proj_b.weight", heads, hidden, std=0.3)
        w.put(at + "conv1d.weight", 2 * key + value, 1, c["linear_conv_kernel_dim"], std=0.5)
        w.put(at + "dt_bias", heads, around=-2.0, std=0.5)
        w.put(at + "A_log", heads, std=0.7)
        w.put(at + "norm.weight", c["linear_value_head_dim"], around=1.0, std=0.2)
        w.put(at + "out_proj.weight", hidden, value)
    return w


def norm(w, name, x):
    mean_square = (x * x).mean(-1, keepdim=True)
    return x / torch.sqrt(mean_square + CONFIG["rms_norm_eps"]) * (1 + w[name + ".weight"])


def delta_net(w, at, x):
    """x [T, D] -> [T, D], token by token."""
    c = CONFIG
    keys, heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
    key_width, value_width = c["linear_key_head_dim"], c["linear_value_head_dim"]
    mixed = F.linear(x, w[at + "in_proj_qkv.weight"])
    kernel = w[at + "conv1d.weight"][:, 0]
    taps = kernel.shape[1]
    rate = torch.exp(w[at + "A_log"])
    states = [torch.zeros(value_width, key_width) for _ in range(heads)]
    results = []
    for t in range(len(x)):
        channels = sum(
            kernel[:, j] * mixed[t - taps + 1 + j] for j in range(taps) if t - taps + 1 + j >= 0
        )
        channels = channels / (1 + torch.exp(-channels))
        q, k, v = channels.split([keys * key_width, keys * key_width, heads * value_width])
        q, k = (y.view(keys, key_width) for y in (q, k))
        q, k = (y / torch.sqrt((y * y).sum(-1, keepdim=True) + 1e-6) for y in (q, k))
        v = v.view(heads, value_width)
        beta = torch.sigmoid(w[at + "in_proj_b.weight"] @ x[t])
        alpha = torch.exp(-rate * torch.log1p(torch.exp(w[at + "in_proj_a.weight"] @ x[t] + w[at + "dt_bias"])))
        read = []
        for h in range(heads):
            own = k[h * keys // heads]
            kept = torch.eye(key_width) - beta[h] * torch.outer(own, own)
            states[h] = alpha[h] * states[h] @ kept + beta[h] * torch.outer(v[h], own)
            read.append(states[h] @ q[h * keys // heads] / math.sqrt(key_width))
        read = torch.stack(read)
        read = read / torch.sqrt((read * read).mean(-1, keepdim=True) + c["rms_norm_eps"])
        gate = (w[at + "in_proj_z.weight"] @ x[t]).view(heads, value_width)
        read = read * w[at + "norm.weight"] * gate * torch.sigmoid(gate)
        results.append(w[at + "out_proj.weight"] @ read.flatten())
    return torch.stack(results)


def attention(w, at, x):
    """x [T, D] -> [T, D]."""
    c = CONFIG
    heads, shared, width = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    length = len(x)
    rope = c["rope_parameters"]
    turned = int(width * rope["partial_rotary_factor"])
    angles = torch.arange(length)[:, None] / rope["rope_theta"] ** (torch.arange(0, turned, 2) / turned)
    cos, sin = angles.cos(), angles.sin()

    def turn(y):
        """y [heads, T, E]"""
        half = turned // 2
        a, b, rest = y[..., :half], y[..., half:turned], y[..., turned:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)

    both = F.linear(x, w[at + "q_proj.weight"]).view(length, heads, 2, width)
    q, gate = both[:, :, 0], both[:, :, 1]
    k = F.linear(x, w[at + "k_proj.weight"]).view(length, shared, width)
    v = F.linear(x, w[at + "v_proj.weight"]).view(length, shared, width).transpose(0, 1)
    q = turn(norm(w, at + "q_norm", q).transpose(0, 1))
    k = turn(norm(w, at + "k_norm", k).transpose(0, 1))
    k, v = (y.repeat_interleave(heads // shared, 0) for y in (k, v))
    scores = q @ k.transpose(1, 2) / math.sqrt(width)
    unseen = torch.ones(length, length, dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(unseen, -math.inf).softmax(-1) @ v
    mixed = mixed.transpose(0, 1) * torch.sigmoid(gate)
    return F.linear(mixed.reshape(length, heads * width), w[at + "o_proj.weight"])


def forward(w, ids):
    """ids [T] -> the hidden states before each layer and after the final norm, and the logits [T, W]."""
    x = w["model.embed_tokens.weight"][ids]
    states = [x]
    for i in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{i}."
        y = norm(w, at + "input_layernorm", x)
        is_full = (i + 1) % CONFIG["full_attention_interval"] == 0
        x = x + (attention(w, at + "self_attn.", y) if is_full else delta_net(w, at + "linear_attn.", y))
        y = norm(w, at + "post_attention_layernorm", x)
        gate = F.linear(y, w[at + "mlp.gate_proj.weight"])
        y = gate * torch.sigmoid(gate) * F.linear(y, w[at + "mlp.up_proj.weight"])
        x = x + F.linear(y, w[at + "mlp.down_proj.weight"])
        states.append(x)
    states[-1] = norm(w, "model.norm", x)
    return states, F.linear(states[-1], w["model.embed_tokens.weight"])


def padded(w, rows, length, left):
    """Every row by itself, put into a batch with padding on one side."""
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    recorded = {}
    for b, row in enumerate(rows):
        start = length - len(row) if left else 0
        place = slice(start, start + len(row))
        ids[b, place], mask[b, place] = torch.tensor(row), 1
        positions[b, place] = torch.arange(len(row))
        states, logits = forward(w, torch.tensor(row))
        for name, value in [(f"hidden_states.{i}", s) for i, s in enumerate(states)] + [("logits", logits)]:
            if left and name != "logits":
                continue
            recorded.setdefault(name, torch.zeros(len(rows), length, value.shape[-1]))[b, place] = value
    recorded = {name: float32(value) for name, value in recorded.items()}
    return {
        "input_ids": ids.numpy(),
        "attention_mask": mask.numpy(),
        **({"position_ids": positions.numpy()} if left else {}),
        **recorded,
    }


def main(output):
    torch.manual_seed(35)
    w = draw()
    rows = [[(7 * i * i + 5 * i + 3) % 60 for i in range(14)], [(11 * i * i + 2 * i + 40) % 60 for i in range(9)]]
    recorded = {}
    for side in ["right", "left"]:
        for name, value in padded(w, rows, 14, side == "left").items():
            recorded[f"{side}.{name}"] = value
    _, logits = forward(w, torch.tensor(rows[0]))
    recorded["decode.prefix_ids"] = torch.tensor(rows[0][:6]).numpy()
    recorded["decode.forced_ids"] = torch.tensor(rows[0][6:]).numpy()
    recorded["decode.logits"] = float32(logits[5:])

    # Mean loss of the next token over the first row, and its gradients.
    gradients = {"ids": torch.tensor(rows[0]).numpy()}
    for value in w.values():
        value.requires_grad_()
    _, logits = forward(w, torch.tensor(rows[0]))
    loss = F.cross_entropy(logits[:-1], torch.tensor(rows[0][1:]))
    loss.backward()
    gradients["loss"] = float32(loss.detach())
    for name, value in w.items():
        if any(part in name for part in RECORDED_GRADIENTS):
            gradients[name] = float32(value.grad)

    folder = os.path.join(output, "qwen3-5")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        file.write(json.dumps(CONFIG, indent=2) + "\n")
    write_safetensors(
        os.path.join(folder, "model.safetensors"), {name: float32(value.detach()) for name, value in w.items()}
    )
    write_safetensors(os.path.join(folder, "gradients.safetensors"), gradients)
    write_safetensors(os.path.join(folder, "io.safetensors"), recorded)
    with open(os.path.join(folder, "README.md"), "w") as file:
        file.write(
            """# Qwen3_5ForCausalLM

A tiny random Qwen3.5 text model (three layers of Gated DeltaNet, one of attention) with recorded inputs and
outputs, computed in float64 by `test/oracle/qwen3_5.py` from its definition, token by token and each row by itself.
`right.*` and `left.*`: a batch padded on that side; `decode.*`: a prefix, then tokens one at a time.
`gradients.safetensors`: the mean loss of the next token over `ids`, and its gradients by PyTorch's autograd.
"""
        )


if __name__ == "__main__":
    main(sys.argv[1])
