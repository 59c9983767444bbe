"""PyTorch training speed on the drummer's shape. usage: train_torch.py [layers width heads batch length steps]; one JSON row.

GPT-2 as transformers defines it (eager f32, dropout off), AdamW (foreach), gradient clipping; random tokens.
NT = threads (default 2)."""
import json, os, statistics, sys, time, warnings
warnings.filterwarnings("ignore")
import torch
from transformers import GPT2Config, GPT2LMHeadModel
layers, width, heads, batch, length, steps = map(int, (sys.argv[1:] + ["4", "256", "4", "32", "256", "8"][len(sys.argv) - 1:])[:6])
torch.set_num_threads(int(os.environ.get("NT", "2"))); torch.manual_seed(0)
m = GPT2LMHeadModel(GPT2Config(vocab_size=183, n_positions=768, n_embd=width, n_layer=layers, n_head=heads,
                               resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)).train()
opt = torch.optim.AdamW(m.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.1)
x = torch.randint(0, 183, (batch, length + 1))
ts = []
for _ in range(steps + 1):
    t = time.perf_counter()
    logits = m(x[:, :-1]).logits
    torch.nn.functional.cross_entropy(logits.reshape(-1, 183), x[:, 1:].reshape(-1)).backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    opt.step(); opt.zero_grad(set_to_none=True)
    ts.append(time.perf_counter() - t)
s = statistics.median(ts[1:])
print(json.dumps({"peer": "pytorch-gpt2-train", "layers": layers, "width": width, "batch": batch, "length": length,
                  "ms_per_step": round(s * 1e3, 1), "tokens_per_s": round(batch * length / s, 1),
                  "torch": torch.__version__, "threads": torch.get_num_threads()}))
