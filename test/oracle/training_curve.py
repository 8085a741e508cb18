"""Records test/fixtures/training-curve: a LLaMA of two layers trained with PyTorch's own autograd and AdamW.

Plain PyTorch in float64 from float32 first weights, written from the definitions; shares nothing with the package.
Run once: python3 training_curve.py OUTPUT_FOLDER
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F

from llava_forward import float32, write_safetensors

torch.set_default_dtype(torch.float64)
CONFIG = dict(
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    vocab_size=24,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=32,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
)
TRAINING = dict(
    steps=120, batch=8, half=6, symbols=12, seed=5,
    learningRate=1e-2, warmupSteps=10, minRatio=0.1,
    beta1=0.9, beta2=0.99, epsilon=1e-8, weightDecay=0.05, maxGradientNorm=1.0,
)


def draw(state):
    """Numerical Recipes' generator: the next 32-bit state."""
    return (state * 1664525 + 1013904223) % 2**32


def batches():
    """Rows of random symbols, each row followed by itself: [B, 2 * half]."""
    state = TRAINING["seed"]
    while True:
        rows = []
        for _ in range(TRAINING["batch"]):
            row = []
            for _ in range(TRAINING["half"]):
                state = draw(state)
                row.append((state >> 16) % TRAINING["symbols"])
            rows.append(row + row)
        yield torch.tensor(rows)


def first_weights():
    torch.manual_seed(11)
    width, mlp, head = CONFIG["hidden_size"], CONFIG["intermediate_size"], 8
    pairs = CONFIG["num_key_value_heads"] * head
    shapes = {"model.embed_tokens.weight": (24, width), "model.norm.weight": (width,), "lm_head.weight": (24, width)}
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes[layer + "input_layernorm.weight"] = (width,)
        shapes[layer + "post_attention_layernorm.weight"] = (width,)
        shapes[layer + "self_attn.q_proj.weight"] = (width, width)
        shapes[layer + "self_attn.k_proj.weight"] = (pairs, width)
        shapes[layer + "self_attn.v_proj.weight"] = (pairs, width)
        shapes[layer + "self_attn.o_proj.weight"] = (width, width)
        shapes[layer + "mlp.gate_proj.weight"] = (mlp, width)
        shapes[layer + "mlp.up_proj.weight"] = (mlp, width)
        shapes[layer + "mlp.down_proj.weight"] = (width, mlp)
    return {
        name: (torch.ones(shape) if len(shape) == 1 else torch.randn(shape) / math.sqrt(shape[-1])).float().double()
        for name, shape in shapes.items()
    }


def norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + CONFIG["rms_norm_eps"]) * weight


def rotate(x):
    """Rotary embedding in halves; x [B, H, T, E]."""
    length, head = x.shape[-2:]
    inverse = CONFIG["rope_theta"] ** (-torch.arange(0, head, 2) / head)
    angles = torch.outer(torch.arange(length).double(), inverse).repeat(1, 2)
    first, second = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()


def scores(weights, ids):
    batch, length = ids.shape
    heads, pairs = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
    x = weights["model.embed_tokens.weight"][ids]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    for i in range(CONFIG["num_hidden_layers"]):
        get = lambda name: weights[f"model.layers.{i}.{name}.weight"]
        y = norm(x, get("input_layernorm"))
        split = lambda z, n: z.view(batch, length, n, -1).transpose(1, 2)
        q = rotate(split(y @ get("self_attn.q_proj").T, heads))
        k = rotate(split(y @ get("self_attn.k_proj").T, pairs)).repeat_interleave(heads // pairs, 1)
        v = split(y @ get("self_attn.v_proj").T, pairs).repeat_interleave(heads // pairs, 1)
        mixed = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf).softmax(-1) @ v
        x = x + mixed.transpose(1, 2).reshape(batch, length, -1) @ get("self_attn.o_proj").T
        y = norm(x, get("post_attention_layernorm"))
        x = x + (F.silu(y @ get("mlp.gate_proj").T) * (y @ get("mlp.up_proj").T)) @ get("mlp.down_proj").T
    return norm(x, weights["model.norm.weight"]) @ weights["lm_head.weight"].T


def factor(step):
    """Linear warm-up, then half a cosine."""
    t = TRAINING
    if step < t["warmupSteps"]:
        return step / t["warmupSteps"]
    progress = (step - t["warmupSteps"]) / (t["steps"] - t["warmupSteps"])
    return t["minRatio"] + (1 - t["minRatio"]) * 0.5 * (1 + math.cos(math.pi * progress))


def main(folder):
    os.makedirs(folder, exist_ok=True)
    weights = {name: value.requires_grad_() for name, value in first_weights().items()}
    write_safetensors(
        os.path.join(folder, "model.safetensors"), {name: float32(w.detach()) for name, w in weights.items()}
    )
    t = TRAINING
    optimiser = torch.optim.AdamW(
        weights.values(), lr=1.0, betas=(t["beta1"], t["beta2"]), eps=t["epsilon"], weight_decay=t["weightDecay"]
    )
    losses, norms = [], []
    for step, ids in zip(range(t["steps"]), batches()):
        labels = ids.clone()
        labels[:, : t["half"]] = -100
        loss = F.cross_entropy(scores(weights, ids)[:, :-1].reshape(-1, 24), labels[:, 1:].reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(weights.values(), t["maxGradientNorm"])))
        for group in optimiser.param_groups:
            group["lr"] = t["learningRate"] * factor(step)
        optimiser.step()
        losses.append(float(loss))
    for name, value in dict(config=CONFIG, curve=dict(training=t, losses=losses, gradientNorms=norms)).items():
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf8") as file:
            json.dump(value, file, indent=1)
    print([round(loss, 4) for loss in losses[::10]], losses[-1])


main(sys.argv[1])
