"""PyTorch training speed of a two-bar MusicVAE. usage: vae_train_torch.py [in out encoder decoder latent batch steps]; one JSON row.

torch.nn.LSTM (eager f32; its fused CPU kernels), told the truth at every step, Adam (foreach), gradient clipping; random
one-hot windows of 32 steps. NT = threads (default 2)."""
import json, os, statistics, sys, time
import torch
from torch import nn
sizes = list(map(int, (sys.argv[1:] + ["90", "90", "384", "256", "192", "64", "8"][len(sys.argv) - 1:])[:7]))
inputs, outputs, enc, dec, latent, batch, steps = sizes
torch.set_num_threads(int(os.environ.get("NT", "2"))); torch.manual_seed(0)
T = 32


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(inputs, enc, bidirectional=True)
        self.mu, self.sigma = nn.Linear(2 * enc, latent), nn.Linear(2 * enc, latent)
        self.state = nn.Linear(latent, 4 * dec)
        self.decoder = nn.LSTM(outputs + latent, dec, num_layers=2)
        self.output = nn.Linear(dec, outputs)

    def forward(self, x, truth):
        _, (h, _) = self.encoder(x)
        e = torch.cat([h[0], h[1]], 1)
        mu, sigma = self.mu(e), nn.functional.softplus(self.sigma(e))
        z = mu + sigma * torch.randn_like(mu)
        c0, h0, c1, h1 = torch.tanh(self.state(z)).chunk(4, 1)
        before = torch.cat([torch.zeros(1, batch, outputs), truth[:-1]])
        steps, _ = self.decoder(torch.cat([before, z.expand(T, -1, -1)], 2), (torch.stack([h0, h1]), torch.stack([c0, c1])))
        kl = (0.5 * (sigma * sigma + mu * mu - 1) - sigma.log()).sum(1)
        return self.output(steps), kl


m = Vae().train()
opt = torch.optim.Adam(m.parameters(), lr=1e-3)
target = torch.randint(0, outputs, (T, batch))
x = nn.functional.one_hot(target % inputs, inputs).float()
truth = nn.functional.one_hot(target, outputs).float()
ts = []
for _ in range(steps + 1):
    t = time.perf_counter()
    logits, kl = m(x, truth)
    nats = nn.functional.cross_entropy(logits.reshape(-1, outputs), target.reshape(-1), reduction="sum") / batch
    (nats + 0.2 * (kl - 33.0).clamp(min=0).mean()).backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    opt.step(); opt.zero_grad(set_to_none=True)
    ts.append(time.perf_counter() - t)
s = statistics.median(ts[1:])
print(json.dumps({"peer": "pytorch-vae-train", "encoder": enc, "decoder": dec, "latent": latent, "batch": batch,
                  "ms_per_step": round(s * 1e3, 1), "windows_per_s": round(batch / s, 1),
                  "torch": torch.__version__, "threads": torch.get_num_threads()}))
