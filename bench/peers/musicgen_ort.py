"""One step of a language model of MusicGen-small's sizes in ONNX Runtime, with its cache: the peer of `partita bench audio`.

usage: musicgen_ort.py [f32|int8] [T] [reps]; exports a hand-written torch module with random weights, dims of musicgen-small, batch 2 (CFG)."""
import json, os, statistics, sys, tempfile, time, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch, torch.nn as nn, onnxruntime as ort
mode = sys.argv[1] if len(sys.argv) > 1 else "f32"; T = int(sys.argv[2]) if len(sys.argv) > 2 else 250; reps = int(sys.argv[3]) if len(sys.argv) > 3 else 15
H, F, L, NH, B, S = 1024, 4096, 24, 16, 2, 20
class Layer(nn.Module):
    def __init__(s):
        super().__init__(); lin = lambda i, o: nn.Linear(i, o, bias=False)
        s.q, s.k, s.v, s.o, s.cq, s.co, s.f1, s.f2 = lin(H, H), lin(H, H), lin(H, H), lin(H, H), lin(H, H), lin(H, H), lin(H, F), lin(F, H)
        s.n1, s.n2, s.n3 = nn.LayerNorm(H), nn.LayerNorm(H), nn.LayerNorm(H)
    def att(s, q, k, v):
        w = torch.softmax(q @ k.transpose(2, 3) * 0.125, -1) @ v
        return w.transpose(1, 2).reshape(q.shape[0], 1, H)
    def forward(s, x, pk, pv, ck, cv):
        sp = lambda t: t.view(t.shape[0], 1, NH, 64).transpose(1, 2)
        y = s.n1(x); k = torch.cat([pk, sp(s.k(y))], 2); v = torch.cat([pv, sp(s.v(y))], 2)
        x = x + s.o(s.att(sp(s.q(y)), k, v)); y = s.n2(x); x = x + s.co(s.att(sp(s.cq(y)), ck, cv))
        return x + s.f2(torch.nn.functional.gelu(s.f1(s.n3(x)))), k, v
class Dec(nn.Module):
    def __init__(s):
        super().__init__(); s.l = nn.ModuleList(Layer() for _ in range(L)); s.n = nn.LayerNorm(H); s.h = nn.Linear(H, 8192, bias=False)
    def forward(s, x, *kv):
        out = []
        for i, l in enumerate(s.l):
            x, k, v = l(x, kv[4 * i], kv[4 * i + 1], kv[4 * i + 2], kv[4 * i + 3]); out += [k, v]
        return (s.h(s.n(x)), *out)
torch.manual_seed(0); m = Dec().eval()
kv = [torch.randn(B, NH, T if j < 2 else S, 64) for _ in range(L) for j in range(4)]
names = ["x"] + [f"{n}{i}" for i in range(L) for n in ("pk", "pv", "ck", "cv")]
d = tempfile.mkdtemp(dir=os.environ.get("TMPD", None)); p = f"{d}/m.onnx"
with torch.inference_mode():
    torch.onnx.export(m, (torch.randn(B, 1, H), *kv), p, input_names=names, output_names=["logits"] + [f"o{i}" for i in range(2 * L)],
                      dynamic_axes={n: {2: "t"} for n in names if n[:2] in ("pk", "pv")}, opset_version=17, dynamo=False)
del m
if mode == "int8":
    from onnxruntime.quantization import quantize_dynamic, QuantType
    quantize_dynamic(p, f"{d}/q.onnx", weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"], use_external_data_format=False); p = f"{d}/q.onnx"
so = ort.SessionOptions(); so.intra_op_num_threads = int(os.environ.get("NT", "2")); so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
s = ort.InferenceSession(p, so, providers=["CPUExecutionProvider"])
feed = {"x": np.random.randn(B, 1, H).astype(np.float32), **{n: t.numpy() for n, t in zip(names[1:], kv)}}
for _ in range(3): s.run(None, feed)
ts = []
for _ in range(reps):
    t = time.perf_counter(); s.run(None, feed); ts.append(time.perf_counter() - t)
md = statistics.median(ts)
print(json.dumps({"peer": "onnxruntime-musicgen-small-step", "mode": mode, "T": T, "batch": B, "ms_median": round(md * 1e3, 2), "ms_min": round(min(ts) * 1e3, 2), "steps_per_s": round(1 / md, 2), "ort": ort.__version__, "model_mb": round(os.path.getsize(p) / 1e6)}))
import shutil; shutil.rmtree(d)
