"""HF transformers GPT-2 decoding. usage: decode_torch.py [layers width heads batch tokens reps]; one JSON row.

Random weights, f32, KV cache, sampling with top-k 50, as `generate` does it. NT = threads (default 2)."""
import json, os, statistics, sys, time, warnings
warnings.filterwarnings("ignore")
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GenerationConfig
layers, width, heads, batch, tokens, reps = map(int, (sys.argv[1:] + ["6", "256", "4", "1", "200", "5"][len(sys.argv) - 1:])[:6])
torch.set_num_threads(int(os.environ.get("NT", "2"))); torch.manual_seed(0)
m = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_positions=1024, n_embd=width, n_layer=layers, n_head=heads,
                               bos_token_id=0, eos_token_id=499)).eval()
m.generation_config = GenerationConfig(do_sample=True, top_k=50, bos_token_id=0, eos_token_id=None, pad_token_id=0)
x = torch.randint(1, 499, (batch, 4)); ts = []
with torch.inference_mode():
    m.generate(x, attention_mask=torch.ones_like(x), max_new_tokens=10)
    for _ in range(reps):
        t = time.perf_counter()
        y = m.generate(x, attention_mask=torch.ones_like(x), max_new_tokens=tokens, min_new_tokens=tokens)
        ts.append(time.perf_counter() - t)
        assert y.shape[1] == 4 + tokens
s = statistics.median(ts)
print(json.dumps({"peer": "transformers-gpt2", "layers": layers, "width": width, "batch": batch, "tokens": tokens,
                  "ms_total": round(s * 1e3, 1), "tokens_per_s": round(batch * tokens / s, 1),
                  "torch": torch.__version__, "threads": torch.get_num_threads()}))
