"""Records test/fixtures/llava-15 and llava-next: LLaVA-1.5 and LLaVA-NeXT in plain PyTorch, in float64.

Written from the definitions and from the released code (CLIPVisionModel, LlamaForCausalLM and
`prepare_inputs_labels_for_multimodal`, `unpad_image`, `select_best_resolution` of LLaVA), and shares
nothing with the package. Needs PyTorch and NumPy only; run once: python3 llava_forward.py OUTPUT_FOLDER
"""
import json
import math
import os
import struct
import sys

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
IMAGE = -200


# ----------------------------------------------------------------------------- files
def write_safetensors(path, tensors):
    kinds = {np.dtype("float32"): "F32", np.dtype("int64"): "I64", np.dtype("bool"): "BOOL"}
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header, offset = {}, 0
    for name in order:
        array = arrays[name]
        end = offset + array.nbytes
        header[name] = {
            "dtype": kinds[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(arrays[name].tobytes())


def float32(tensor):
    return tensor.to(torch.float32).numpy()


# ----------------------------------------------------------------------------- weights
def draw_weights(config, tower, newline):
    """Random weights under the published names, rounded to float32: what is stored is what is used."""
    weights = {}

    def put(name, *shape, around=0.0, std=None):
        std = 1 / math.sqrt(shape[-1]) if std is None else std
        weights[name] = (around + std * torch.randn(*shape)).to(torch.float32).to(torch.float64)

    def norm(name, width, bias):
        put(name + ".weight", width, around=1.0, std=0.1)
        if bias:
            put(name + ".bias", width, std=0.1)

    def linear(name, out, inside, bias):
        put(name + ".weight", out, inside)
        if bias:
            put(name + ".bias", out, std=0.1)

    width, patch = tower["hidden_size"], tower["patch_size"]
    vision = "model.vision_tower.vision_tower.vision_model."
    put(vision + "embeddings.class_embedding", width, std=0.5)
    put(vision + "embeddings.patch_embedding.weight", width, 3, patch, patch, std=0.08)
    places = (tower["image_size"] // patch) ** 2 + 1
    put(vision + "embeddings.position_embedding.weight", places, width, std=0.5)
    norm(vision + "pre_layrnorm", width, True)
    norm(vision + "post_layernorm", width, True)
    for layer in range(tower["num_hidden_layers"]):
        prefix = f"{vision}encoder.layers.{layer}."
        norm(prefix + "layer_norm1", width, True)
        norm(prefix + "layer_norm2", width, True)
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"]:
            linear(prefix + "self_attn." + part, width, width, True)
        linear(prefix + "mlp.fc1", tower["intermediate_size"], width, True)
        linear(prefix + "mlp.fc2", width, tower["intermediate_size"], True)

    hidden, inner = config["hidden_size"], config["intermediate_size"]
    linear("model.mm_projector.0", hidden, width, True)
    linear("model.mm_projector.2", hidden, hidden, True)
    if newline:
        put("model.image_newline", hidden, std=0.5)
    put("model.embed_tokens.weight", config["vocab_size"], hidden, std=0.5)
    put("lm_head.weight", config["vocab_size"], hidden, std=0.3)
    norm("model.norm", hidden, False)
    head = hidden // config["num_attention_heads"]
    shared = head * config["num_key_value_heads"]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        norm(prefix + "input_layernorm", hidden, False)
        norm(prefix + "post_attention_layernorm", hidden, False)
        linear(prefix + "self_attn.q_proj", hidden, hidden, False)
        linear(prefix + "self_attn.k_proj", shared, hidden, False)
        linear(prefix + "self_attn.v_proj", shared, hidden, False)
        linear(prefix + "self_attn.o_proj", hidden, hidden, False)
        linear(prefix + "mlp.gate_proj", inner, hidden, False)
        linear(prefix + "mlp.up_proj", inner, hidden, False)
        linear(prefix + "mlp.down_proj", hidden, inner, False)
    return weights


# ----------------------------------------------------------------------------- model
def attend(query, key, value, mask=None):
    """[B, H, T, E] each."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ value


class Llava:
    def __init__(self, config, tower, weights):
        self.config, self.tower, self.weights = config, tower, weights

    def linear(self, name, x):
        bias = self.weights.get(name + ".bias")
        return torch.nn.functional.linear(x, self.weights[name + ".weight"], bias)

    def layer_norm(self, name, x):
        w, b = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, self.tower["layer_norm_eps"])

    def rms_norm(self, name, x):
        scale = torch.rsqrt((x * x).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return x * scale * self.weights[name + ".weight"]

    def features(self, pixels):
        """pixels [V, 3, S, S] -> [V, N, Dv]: the selected hidden state without the class token."""
        prefix = "model.vision_tower.vision_tower.vision_model."
        tower, heads = self.tower, self.tower["num_attention_heads"]
        kernel = self.weights[prefix + "embeddings.patch_embedding.weight"]
        patches = torch.nn.functional.conv2d(pixels, kernel, stride=tower["patch_size"])
        patches = patches.flatten(2).transpose(1, 2)
        first = self.weights[prefix + "embeddings.class_embedding"].expand(len(pixels), 1, -1)
        places = self.weights[prefix + "embeddings.position_embedding.weight"]
        x = self.layer_norm(prefix + "pre_layrnorm", torch.cat([first, patches], 1) + places)
        states = [x]

        def split(y):
            return y.view(*y.shape[:2], heads, -1).transpose(1, 2)

        for layer in range(tower["num_hidden_layers"]):
            at = f"{prefix}encoder.layers.{layer}."
            y = self.layer_norm(at + "layer_norm1", x)
            q, k, v = (split(self.linear(f"{at}self_attn.{p}_proj", y)) for p in "qkv")
            x = x + self.linear(at + "self_attn.out_proj", attend(q, k, v).transpose(1, 2).flatten(2))
            y = self.linear(at + "mlp.fc1", self.layer_norm(at + "layer_norm2", x))
            x = x + self.linear(at + "mlp.fc2", y * torch.sigmoid(1.702 * y))
            states.append(x)
        return states[self.config["mm_vision_select_layer"]][:, 1:]

    def project(self, x):
        y = self.linear("model.mm_projector.0", x)
        y = y * 0.5 * (1 + torch.erf(y / math.sqrt(2)))
        return self.linear("model.mm_projector.2", y)

    def logits(self, x):
        """embeddings [T, D] -> [T, W]."""
        config = self.config
        length, hidden = x.shape
        heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
        width = hidden // heads
        exponents = torch.arange(0, width, 2) / width
        angles = torch.arange(length)[:, None] / config["rope_theta"] ** exponents
        angles = torch.cat([angles, angles], -1)

        def turn(y):
            half = width // 2
            turned = torch.cat([-y[..., half:], y[..., :half]], -1)
            return y * angles.cos() + turned * angles.sin()

        mask = torch.ones(length, length, dtype=torch.bool).tril()
        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            y = self.rms_norm(at + "input_layernorm", x)
            q = self.linear(at + "self_attn.q_proj", y).view(length, heads, width).transpose(0, 1)
            k = self.linear(at + "self_attn.k_proj", y).view(length, shared, width).transpose(0, 1)
            v = self.linear(at + "self_attn.v_proj", y).view(length, shared, width).transpose(0, 1)
            k, v = (z.repeat_interleave(heads // shared, 0) for z in (turn(k), v))
            mixed = attend(turn(q), k, v, mask).transpose(0, 1).reshape(length, hidden)
            x = x + self.linear(at + "self_attn.o_proj", mixed)
            y = self.rms_norm(at + "post_attention_layernorm", x)
            gate = self.linear(at + "mlp.gate_proj", y)
            y = gate * torch.sigmoid(gate) * self.linear(at + "mlp.up_proj", y)
            x = x + self.linear(at + "mlp.down_proj", y)
        return torch.nn.functional.linear(self.rms_norm("model.norm", x), self.weights["lm_head.weight"])


# ----------------------------------------------------------------------------- LLaVA-NeXT's tiles
def select_best_resolution(size, pinpoints):
    width, height = size
    best, most, least = None, 0, math.inf
    for w, h in pinpoints:
        scale = min(w / width, h / height)
        scaled = int(width * scale) * int(height * scale)
        effective = min(scaled, width * height)
        wasted = w * h - effective
        if effective > most or (effective == most and wasted < least):
            best, most, least = (w, h), effective, wasted
    return best


def unpad_image(x, size):
    """x [D, rows, columns]."""
    width, height = size
    rows, columns = x.shape[1:]
    if width / height > columns / rows:
        kept = int(height * (columns / width))
        cut = (rows - kept) // 2
        return x[:, cut : rows - cut, :]
    kept = int(width * (rows / height))
    cut = (columns - kept) // 2
    return x[:, :, cut : columns - cut]


def assemble_views(tokens, size, config, tower, newline):
    """tokens [V, N, D] of the whole image and its tiles -> rows of the language model."""
    side = tower["image_size"] // tower["patch_size"]
    width, height = select_best_resolution(size, config["image_grid_pinpoints"])
    columns, rows = width // tower["image_size"], height // tower["image_size"]
    tiles = tokens[1:].view(rows, columns, side, side, -1)
    lattice = tiles.permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)
    lattice = unpad_image(lattice, size)
    ends = newline[:, None, None].expand(*lattice.shape[:-1], 1)
    lines = torch.cat([lattice, ends], -1).flatten(1, 2).transpose(0, 1)
    return torch.cat([tokens[0], lines], 0)


# ----------------------------------------------------------------------------- recording
def record(folder, config, tower, sizes, prompts, seed):
    """`prompts`: token ids, IMAGE where the next image goes. `sizes`: of each image, in pixels."""
    torch.manual_seed(seed)
    has_tiles = config.get("image_aspect_ratio") == "anyres"
    weights = draw_weights(config, tower, has_tiles)
    model = Llava(config, tower, weights)
    newline = weights.get("model.image_newline")
    recorded, rows_of_images = {}, []
    for index, size in enumerate(sizes):
        views = 1
        if has_tiles:
            width, height = select_best_resolution(size, config["image_grid_pinpoints"])
            views = 1 + width * height // tower["image_size"] ** 2
        side = tower["image_size"]
        pixels = torch.randn(views, 3, side, side).to(torch.float32).to(torch.float64)
        features = model.features(pixels)
        projected = model.project(features)
        recorded[f"pixel_values.{index}"] = float32(pixels)
        recorded[f"vision.features.{index}"] = float32(features)
        recorded[f"projector.output.{index}"] = float32(projected)
        rows_of_images.append(
            assemble_views(projected, size, config, tower, newline) if has_tiles else projected[0]
        )
    recorded["image_sizes"] = np.array(sizes, dtype=np.int64)

    table = weights["model.embed_tokens.weight"]
    images, samples = iter(rows_of_images), []
    for prompt in prompts:
        parts = [next(images) if id == IMAGE else table[id][None] for id in prompt]
        samples.append(torch.cat(parts, 0))
    longest_prompt, longest = max(map(len, prompts)), max(map(len, samples))
    ids = np.zeros((len(prompts), longest_prompt), dtype=np.int64)
    mask = np.zeros((len(prompts), longest_prompt), dtype=np.int64)
    embeds = np.zeros((len(prompts), longest, config["hidden_size"]), dtype=np.float32)
    valid = np.zeros((len(prompts), longest), dtype=bool)
    logits = np.zeros((len(prompts), longest, config["vocab_size"]), dtype=np.float32)
    smallest_gap = math.inf
    for index, (prompt, sample) in enumerate(zip(prompts, samples)):
        ids[index, : len(prompt)] = prompt
        mask[index, : len(prompt)] = 1
        embeds[index, : len(sample)] = float32(sample)
        valid[index, : len(sample)] = True
        logits[index, : len(sample)] = float32(model.logits(sample))
        chosen, steps, x = [], [], sample
        while len(chosen) < 8:
            scores = model.logits(x)[-1]
            top = scores.topk(2).values
            smallest_gap = min(smallest_gap, float(top[0] - top[1]))
            chosen.append(int(scores.argmax()))
            steps.append(float32(scores))
            x = torch.cat([x, table[chosen[-1]][None]], 0)
        recorded[f"generate.{index}.ids"] = np.array(chosen, dtype=np.int64)
        recorded[f"generate.{index}.logits"] = np.stack(steps)
    recorded.update(
        {
            "input_ids": ids,
            "attention_mask": mask,
            "llm.inputs_embeds": embeds,
            "llm.attention_mask": valid,
            "logits": logits,
        }
    )
    os.makedirs(os.path.join(folder, "vision_tower"), exist_ok=True)
    write_safetensors(
        os.path.join(folder, "model.safetensors"),
        {name: float32(value) for name, value in weights.items()},
    )
    write_safetensors(os.path.join(folder, "io.safetensors"), recorded)
    for name, content in [("config.json", config), ("vision_tower/config.json", tower)]:
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
    print(folder, "smallest gap between the two best tokens:", round(smallest_gap, 4))


def tower_config(width, inner, layers, heads):
    return {
        "architectures": ["CLIPVisionModel"],
        "model_type": "clip_vision_model",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_channels": 3,
        "image_size": 28,
        "patch_size": 7,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-05,
    }


def llava_config(hidden, inner, layers, heads, shared, vocabulary, **more):
    return {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "vocab_size": vocabulary,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "use_mm_proj": True,
        **more,
    }


def main(output):
    def ids(count, vocabulary, start):
        return [(start + 37 * place * place + 11 * place) % vocabulary for place in range(count)]

    record(
        os.path.join(output, "llava-15"),
        llava_config(56, 96, 2, 4, 4, 200, image_aspect_ratio="pad", mm_patch_merge_type="flat"),
        tower_config(40, 72, 3, 4),
        [(640, 480), (31, 97), (28, 28)],
        # One image within text; two images; text alone, with a token 0.
        [
            [1, *ids(5, 200, 3), IMAGE, *ids(7, 200, 9)],
            [IMAGE, *ids(4, 200, 20), IMAGE, 5],
            [*ids(9, 200, 50), 0, 4],
        ],
        seed=19,
    )
    pinpoints = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
    record(
        os.path.join(output, "llava-next"),
        llava_config(
            48, 80, 3, 6, 2, 96,
            image_aspect_ratio="anyres",
            mm_patch_merge_type="spatial_unpad",
            image_grid_pinpoints=pinpoints,
            rope_theta=1000000.0,
        ),
        tower_config(32, 64, 2, 2),
        # Rows cut, columns cut, nothing cut, tall, tiny.
        [(640, 360), (61, 70), (56, 56), (40, 200), (5, 3)],
        [
            [1, *ids(4, 96, 3), IMAGE, *ids(6, 96, 9)],
            [IMAGE, *ids(3, 96, 20), IMAGE, 5],
            [2, IMAGE, 8, IMAGE, *ids(3, 96, 33)],
        ],
        seed=16,
    )


if __name__ == "__main__":
    main(sys.argv[1])
