#!/usr/bin/python3
"""PyTorch as a peer: the same layer shapes that saccade's benchmarks run, with random weights.

Written for Debian 12's packages (PyTorch 1.13, so no fused attention function):

    apt-get install python3-torch libopenblas0-pthread
    /usr/bin/python3 bench/peers/pytorch.py [clip] [prefill] [decode] [train] [--repeats 5] [--threads 2] ...

Prints one JSON object a line for each benchmark:

    name          clip | prefill | decode | train
    milliseconds  median of the repeats, after one run that is not counted
    flops         of one run; a multiply-add is two, matrix products only (projections, MLPs, attention)
    gflopsPerSecond, weightBytes, shape, repeats, threads, torch, blas

Without libopenblas0-pthread Debian's PyTorch falls back to a reference BLAS that is tens of times
slower. `blas` says which library is in use, and anything but OpenBLAS or MKL is warned about.
"""

import argparse
import json
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as F


def random_weight(*shape):
    """float32 weight `shape`, scaled so that activations keep their size from layer to layer."""
    return torch.randn(*shape) / math.sqrt(shape[-1])


def attention(q, k, v, causal):
    """q [H, T, E], k and v [H, S, E] -> [T, H*E]; queries are the last T of the S positions."""
    scores = torch.matmul(q, k.transpose(1, 2)) / math.sqrt(q.shape[-1])
    if causal and q.shape[1] > 1:
        length, past = q.shape[1], k.shape[1] - q.shape[1]
        future = torch.ones(length, k.shape[1], dtype=torch.bool).triu(past + 1)
        scores = scores.masked_fill(future, float("-inf"))
    mixed = torch.matmul(F.softmax(scores, dim=-1), v)
    return mixed.transpose(0, 1).reshape(q.shape[1], -1)


def split_heads(x, heads):
    """[T, H*E] -> [H, T, E]"""
    return x.view(x.shape[0], heads, -1).transpose(0, 1)


class ClipLayer:
    """Pre-norm encoder layer: LayerNorm, attention with biases, quick GELU (x * sigmoid(1.702 x))."""

    def __init__(self, width, mlp, heads):
        self.heads, self.width = heads, width
        self.norms = [(torch.ones(width), torch.zeros(width)) for _ in range(2)]
        self.q, self.k, self.v, self.out = [
            (random_weight(width, width), torch.zeros(width)) for _ in range(4)
        ]
        self.up = (random_weight(mlp, width), torch.zeros(mlp))
        self.down = (random_weight(width, mlp), torch.zeros(width))

    def __call__(self, x):
        """x [T, D] -> [T, D]"""
        y = F.layer_norm(x, (self.width,), *self.norms[0], 1e-5)
        q, k, v = (split_heads(F.linear(y, *p), self.heads) for p in (self.q, self.k, self.v))
        x = x + F.linear(attention(q, k, v, causal=False), *self.out)
        y = F.linear(F.layer_norm(x, (self.width,), *self.norms[1], 1e-5), *self.up)
        return x + F.linear(y * torch.sigmoid(1.702 * y), *self.down)


class LlamaLayer:
    """Decoder layer: RMSNorm, rotary attention, SwiGLU. Keeps keys and values of `past` positions."""

    def __init__(self, width, mlp, heads, past=0):
        self.heads, self.past, head = heads, past, width // heads
        self.norms = [torch.ones(width) for _ in range(2)]
        self.q, self.k, self.v, self.out = [random_weight(width, width) for _ in range(4)]
        self.gate, self.up = random_weight(mlp, width), random_weight(mlp, width)
        self.down = random_weight(width, mlp)
        # Room for one more position, as a decoder's cache has: the step writes into it, not beside it.
        self.cache = [torch.randn(heads, past + 1, head) for _ in range(2)] if past else None

    @staticmethod
    def norm(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight

    @staticmethod
    def rotate(x, cos, sin):
        """Rotary embedding in halves, as in Llama; x [H, T, E], cos and sin [T, E]."""
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-second, first), dim=-1) * sin

    def __call__(self, x, cos, sin):
        """x [T, D] -> [T, D]; with a cache T is 1."""
        y = self.norm(x, self.norms[0])
        q, k, v = (split_heads(F.linear(y, w), self.heads) for w in (self.q, self.k, self.v))
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        if self.cache:
            for kept, new in zip(self.cache, (k, v)):
                kept[:, self.past :] = new
            k, v = self.cache
        x = x + F.linear(attention(q, k, v, causal=True), self.out)
        y = self.norm(x, self.norms[1])
        return x + F.linear(F.silu(F.linear(y, self.gate)) * F.linear(y, self.up), self.down)


def rotary_table(first, count, head):
    """cos and sin [count, head] of the positions first, first + 1, ..."""
    inverse = 1.0 / (10000.0 ** (torch.arange(0, head, 2).float() / head))
    angles = torch.outer(torch.arange(first, first + count).float(), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def attention_flops(queries, keys, width):
    """Scores and their product with the values. A causal mask saves nothing here: all are computed."""
    return 2 * 2 * queries * keys * width


def prepare_clip(a):
    """CLIP ViT-L/14-336 by default: patch embedding, class token, positions, pre-norm, layers."""
    grid = a.clip_image // a.clip_patch
    tokens, width, pixels = grid * grid + 1, a.clip_width, 3 * a.clip_patch**2
    layers = [ClipLayer(width, a.clip_mlp, a.clip_heads) for _ in range(a.clip_layers)]
    patch = random_weight(width, pixels).view(width, 3, a.clip_patch, a.clip_patch)
    class_token, positions = torch.randn(1, width), torch.randn(tokens, width)
    image = torch.randn(1, 3, a.clip_image, a.clip_image)

    def run():
        x = F.conv2d(image, patch, stride=a.clip_patch).flatten(2)[0].transpose(0, 1)
        x = torch.cat((class_token, x)) + positions
        x = F.layer_norm(x, (width,))
        for layer in layers:
            x = layer(x)
        return x

    weights = 4 * width * width + 2 * width * a.clip_mlp
    per_layer = 2 * tokens * weights + attention_flops(tokens, tokens, width)
    flops = a.clip_layers * per_layer + 2 * grid * grid * pixels * width
    shape = dict(layers=a.clip_layers, tokens=tokens, width=width, mlp=a.clip_mlp, heads=a.clip_heads)
    return run, flops, 4 * (a.clip_layers * weights + pixels * width), shape


def prepare_prefill(a):
    """Decoder layers of Llama-7B's shape by default, all prompt positions at once."""
    width, tokens = a.prefill_width, a.prefill_tokens
    layers = [LlamaLayer(width, a.prefill_mlp, a.prefill_heads) for _ in range(a.prefill_layers)]
    table = rotary_table(0, tokens, width // a.prefill_heads)
    prompt = torch.randn(tokens, width)

    def run():
        x = prompt
        for layer in layers:
            x = layer(x, *table)
        return x

    weights = 4 * width * width + 3 * width * a.prefill_mlp
    flops = a.prefill_layers * (2 * tokens * weights + attention_flops(tokens, tokens, width))
    shape = dict(
        layers=a.prefill_layers, tokens=tokens, width=width, mlp=a.prefill_mlp, heads=a.prefill_heads
    )
    return run, flops, 4 * a.prefill_layers * weights, shape


def prepare_decode(a):
    """One token through a whole decoder with a filled cache, output projection included."""
    width, past = a.decode_width, a.decode_past
    layers = [
        LlamaLayer(width, a.decode_mlp, a.decode_heads, past) for _ in range(a.decode_layers)
    ]
    table = rotary_table(past, 1, width // a.decode_heads)
    vocabulary = random_weight(a.decode_vocabulary, width)
    token = torch.randn(1, width)

    def run():
        x = token
        for layer in layers:
            x = layer(x, *table)
        return F.linear(LlamaLayer.norm(x, torch.ones(width)), vocabulary)

    weights = a.decode_layers * (4 * width * width + 3 * width * a.decode_mlp)
    weights += a.decode_vocabulary * width
    flops = 2 * weights + a.decode_layers * attention_flops(1, past + 1, width)
    shape = dict(
        layers=a.decode_layers,
        past=past,
        width=width,
        mlp=a.decode_mlp,
        heads=a.decode_heads,
        vocabulary=a.decode_vocabulary,
        parameters=weights,
    )
    return run, flops, 4 * weights, shape


def prepare_train(a):
    """One AdamW step on a decoder that reads projected vision features before its text, all of it trained."""
    width, heads, vocabulary = a.train_width, a.train_heads, a.train_vocabulary
    batch, visual, text = a.train_batch, a.train_visual, a.train_text
    tokens = visual + text
    with torch.inference_mode(False), torch.enable_grad():
        parameters = []

        def parameter(*shape, scale=None):
            scale = 1 / math.sqrt(shape[-1]) if scale is None else scale
            parameters.append((scale * torch.randn(*shape)).requires_grad_())
            return parameters[-1]

        def ones():
            parameters.append(torch.ones(width).requires_grad_())
            return parameters[-1]

        projector = [parameter(width, width) for _ in range(2)]
        embedding, head = parameter(vocabulary, width, scale=0.02), parameter(vocabulary, width)
        layers = [
            dict(
                norms=[ones(), ones()],
                attention=[parameter(width, width) for _ in range(4)],
                mlp=[parameter(a.train_mlp, width), parameter(a.train_mlp, width), parameter(width, a.train_mlp)],
            )
            for _ in range(a.train_layers)
        ]
        last_norm = ones()
        cos, sin = rotary_table(0, tokens, width // heads)
        features = torch.randn(batch, visual, width)
        ids = torch.randint(0, vocabulary, (batch, text))
        labels = torch.cat((torch.full((batch, visual), -100), ids), dim=1)
        future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, foreach=True)

    def split(x):
        return x.view(batch, tokens, heads, -1).transpose(1, 2)

    def forward():
        seen = F.linear(F.gelu(F.linear(features, projector[0])), projector[1])
        x = torch.cat((seen, embedding[ids]), dim=1)
        for layer in layers:
            y = LlamaLayer.norm(x, layer["norms"][0])
            q, k, v = (split(F.linear(y, w)) for w in layer["attention"][:3])
            q, k = LlamaLayer.rotate(q, cos, sin), LlamaLayer.rotate(k, cos, sin)
            scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(q.shape[-1])
            mixed = torch.matmul(F.softmax(scores.masked_fill(future, float("-inf")), dim=-1), v)
            x = x + F.linear(mixed.transpose(1, 2).reshape(batch, tokens, -1), layer["attention"][3])
            y = LlamaLayer.norm(x, layer["norms"][1])
            gate, up, down = layer["mlp"]
            x = x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)
        scores = F.linear(LlamaLayer.norm(x, last_norm), head)
        return F.cross_entropy(scores[:, :-1].reshape(-1, vocabulary), labels[:, 1:].reshape(-1))

    def run():
        with torch.inference_mode(False), torch.enable_grad():
            optimiser.zero_grad(set_to_none=True)
            loss = forward()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            return loss.detach()

    weights = a.train_layers * (4 * width * width + 3 * width * a.train_mlp) + vocabulary * width
    flops = 2 * batch * (tokens * weights + visual * 2 * width * width)
    flops += a.train_layers * batch * attention_flops(tokens, tokens, width)
    shape = dict(
        layers=a.train_layers, batch=batch, visual=visual, text=text, width=width, mlp=a.train_mlp,
        heads=heads, vocabulary=vocabulary, parameters=sum(p.numel() for p in parameters),
    )
    return run, 3 * flops, 4 * shape["parameters"], shape


def find_blas():
    """The BLAS library that this process has loaded."""
    with open("/proc/self/maps", encoding="utf8") as maps:
        loaded = maps.read()
    if "openblas" in loaded:
        return "openblas"
    if "mkl" in loaded or torch.backends.mkl.is_available():
        return "mkl"
    return "reference" if "libblas.so" in loaded else "unknown"


def serve(run, description):
    """Runs for every line that comes in, a number of repeats, and answers with the shortest run."""
    if not torch.isfinite(run()).all():
        raise SystemExit("pytorch.py: the result is not finite, so its time means nothing")
    print(json.dumps(description), flush=True)
    for line in sys.stdin:
        processor, times = time.process_time(), []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1000)
        processor = (time.process_time() - processor) * 1000
        print(json.dumps(dict(milliseconds=min(times), processorMs=processor)), flush=True)


def measure(run, repeats):
    """Median milliseconds of `repeats` runs after one that is not counted; the result must be finite."""
    if not torch.isfinite(run()).all():
        raise SystemExit("pytorch.py: the result is not finite, so its time means nothing")
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


BENCHMARKS = {"clip": prepare_clip, "prefill": prepare_prefill, "decode": prepare_decode, "train": prepare_train}

SIZES = {
    "clip": dict(image=336, patch=14, layers=24, width=1024, mlp=4096, heads=16),
    "prefill": dict(tokens=576, layers=2, width=4096, mlp=11008, heads=32),
    "decode": dict(past=576, layers=10, width=2048, mlp=5632, heads=16, vocabulary=32000),
    "train": dict(batch=8, visual=144, text=112, layers=6, width=256, mlp=768, heads=8, vocabulary=1024),
}


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument(
        "--on-request", action="store_true", help="one benchmark, kept ready: runs for every line of input, which says how often"
    )
    for name, sizes in SIZES.items():
        for size, default in sizes.items():
            parser.add_argument(f"--{name}-{size}", type=positive, default=default)
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name}; there are {', '.join(BENCHMARKS)}")
    if arguments.on_request and len(arguments.names) != 1:
        parser.error("--on-request needs the name of one benchmark")
    for name in SIZES:
        width, heads = getattr(arguments, f"{name}_width"), getattr(arguments, f"{name}_heads")
        if width % (2 * heads):
            parser.error(f"--{name}-width must be an even multiple of --{name}-heads, got {width}")
    return arguments


def main():
    arguments = parse_arguments()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    blas = find_blas()
    if blas not in ("openblas", "mkl"):
        print(f"pytorch.py: the BLAS is {blas}; install libopenblas0-pthread", file=sys.stderr)
    for name in arguments.names or BENCHMARKS:
        with torch.inference_mode():
            run, flops, weight_bytes, shape = BENCHMARKS[name](arguments)
            if arguments.on_request:
                serve(run, dict(name=name, flops=flops, shape=shape, torch=torch.__version__, blas=blas))
                return
            milliseconds = measure(run, arguments.repeats)
        line = dict(
            name=name,
            milliseconds=round(milliseconds, 3),
            flops=flops,
            gflopsPerSecond=round(flops / milliseconds / 1e6, 1),
            weightBytes=weight_bytes,
            shape=shape,
            repeats=arguments.repeats,
            threads=arguments.threads,
            torch=torch.__version__,
            blas=blas,
        )
        print(json.dumps(line), flush=True)
        del run  # frees this benchmark's weights before the next one makes its own


main()
