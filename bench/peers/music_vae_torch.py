"""MusicVAE's 2-bar melody decoder on torch.nn.LSTM. usage: music_vae_torch.py [batch reps]; one JSON row.

Random weights of cat-mel_2bar_big, f32: z 512 -> state -> 3 x 2048 over [step before 90 | z 512] -> 90, 32 steps, each
drawn from its softmax. `lstm` calls nn.LSTM once a step, `cells` three nn.LSTMCell, `cells_split` takes the z part of
the first product out of the loop and looks the step before up, as partita does. Encoding: one bidirectional nn.LSTM.
NT = threads (default 2)."""
import json, os, statistics, sys, time
import torch
from torch import nn
batch, reps = map(int, (sys.argv[1:] + ["1", "5"][len(sys.argv) - 1:])[:2])
torch.set_num_threads(int(os.environ.get("NT", "2"))); torch.manual_seed(0)
D, Z, H, L, T = 90, 512, 2048, 3, 32
lstm = nn.LSTM(D + Z, H, L).eval()
cells = nn.ModuleList(nn.LSTMCell(D + Z if i == 0 else H, H) for i in range(L)).eval()
initial, out = nn.Linear(Z, 2 * L * H), nn.Linear(H, D)
for i, cell in enumerate(cells):
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, getattr(lstm, f"{name}_l{i}"))
encoder, mu, sigma = nn.LSTM(D, H, bidirectional=True).eval(), nn.Linear(2 * H, Z), nn.Linear(2 * H, Z)

def state(z):
    s = torch.tanh(initial(z)).view(batch, 2 * L, H)
    return s[:, 0::2].transpose(0, 1).contiguous(), s[:, 1::2].transpose(0, 1).contiguous()

def draw(h):
    return torch.multinomial(torch.softmax(out(h), -1), 1).squeeze(1)

def run_lstm(z):
    c, h = state(z); x = torch.zeros(batch, D); ids = []
    for _ in range(T):
        y, (h, c) = lstm(torch.cat([x, z], 1).unsqueeze(0), (h, c))
        ids.append(draw(y[0])); x = nn.functional.one_hot(ids[-1], D).float()
    return torch.stack(ids, 1)

def run_cells(z):
    c, h = state(z); h, c = list(h), list(c); x = torch.zeros(batch, D); ids = []
    for _ in range(T):
        y = torch.cat([x, z], 1)
        for i, cell in enumerate(cells):
            h[i], c[i] = cell(y, (h[i], c[i])); y = h[i]
        ids.append(draw(y)); x = nn.functional.one_hot(ids[-1], D).float()
    return torch.stack(ids, 1)

def step(g, c):
    i, f, n, o = g.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(n)
    return torch.sigmoid(o) * torch.tanh(c), c

columns = lstm.weight_ih_l0.detach()[:, :D].t().contiguous()
def run_cells_split(z):
    c, h = state(z); h, c = list(h), list(c); ids = []
    fixed = z @ lstm.weight_ih_l0[:, D:].t() + lstm.bias_ih_l0 + lstm.bias_hh_l0
    for t in range(T):
        g = fixed if t == 0 else fixed + columns[ids[-1]]
        h[0], c[0] = step(torch.addmm(g, h[0], lstm.weight_hh_l0.t()), c[0])
        for i in range(1, L):
            h[i], c[i] = cells[i](h[i - 1], (h[i], c[i]))
        ids.append(draw(h[-1]))
    return torch.stack(ids, 1)

def measure(work):
    work(); ts = []
    for _ in range(reps):
        t = time.perf_counter(); work(); ts.append((time.perf_counter() - t) * 1e3)
    return round(statistics.median(ts), 1)

with torch.inference_mode():
    z = torch.randn(batch, Z)
    x = nn.functional.one_hot(torch.randint(0, D, (T, batch)), D).float()
    def encode():
        _, (h, _) = encoder(x); e = torch.cat([h[0], h[1]], 1)
        return mu(e), nn.functional.softplus(sigma(e))
    row = {"peer": "torch-lstm", "model": "cat-mel_2bar_big", "batch": batch, "steps": T,
           "lstm_ms": measure(lambda: run_lstm(z)), "cells_ms": measure(lambda: run_cells(z)),
           "cells_split_ms": measure(lambda: run_cells_split(z)), "encode_ms": measure(encode),
           "torch": torch.__version__, "threads": torch.get_num_threads()}
print(json.dumps(row))
