"""MusicGen-small of the published sizes with random weights in transformers: the peer of `partita bench audio`.

usage: musicgen_torch.py [f32|bf16|int8] [STEPS] [RUNS]; threads from NT. Prints one JSON row.
"""
import json
import os
import resource
import statistics
import sys
import time

import torch
from transformers import (EncodecConfig, GenerationConfig, MusicgenConfig, MusicgenDecoderConfig,
                          MusicgenForConditionalGeneration, T5Config)

def t5_base():
    return T5Config(vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_decoder_layers=12,
                    num_heads=12, feed_forward_proj="relu", relative_attention_num_buckets=32,
                    tie_word_embeddings=True)

def encodec_32k():
    return EncodecConfig(target_bandwidths=[2.2], sampling_rate=32000, audio_channels=1, normalize=False,
                         chunk_length_s=None, overlap=None, hidden_size=128, num_filters=64, num_residual_layers=1,
                         upsampling_ratios=[8, 5, 4, 4], norm_type="weight_norm", kernel_size=7, last_kernel_size=7,
                         residual_kernel_size=3, dilation_growth_rate=2, use_causal_conv=False, pad_mode="reflect",
                         compress=2, num_lstm_layers=2, trim_right_ratio=1.0, codebook_size=2048, codebook_dim=128,
                         use_conv_shortcut=False)

def decoder_small():
    return MusicgenDecoderConfig(vocab_size=2048, max_position_embeddings=2048, num_hidden_layers=24, ffn_dim=4096,
                                 num_attention_heads=16, hidden_size=1024, num_codebooks=4, audio_channels=1,
                                 activation_function="gelu", pad_token_id=2048, bos_token_id=2048)

def build(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    cfg = MusicgenConfig(text_encoder=t5_base(), audio_encoder=encodec_32k(), decoder=decoder_small())
    m = MusicgenForConditionalGeneration(cfg).eval()
    m.generation_config = GenerationConfig(do_sample=True, guidance_scale=3.0, max_length=1500, bos_token_id=2048,
                                           pad_token_id=2048, decoder_start_token_id=2048, top_k=250)
    if dtype is not torch.float32:
        m = m.to(dtype)
    return m

def rss_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def med(xs):
    return statistics.median(xs)

def out(d):
    d["torch"] = torch.__version__; d["threads"] = torch.get_num_threads(); d["peak_rss_mb"] = round(rss_mb())
    print(json.dumps(d), flush=True)


mode = sys.argv[1] if len(sys.argv) > 1 else "f32"
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 250
reps = int(sys.argv[3]) if len(sys.argv) > 3 else 3
torch.set_num_threads(int(os.environ.get("NT", "2")))
dtype = torch.bfloat16 if mode.startswith("bf16") else torch.float32
t0 = time.perf_counter(); m = build(dtype); build_s = time.perf_counter() - t0
if mode == "int8":
    m.decoder = torch.ao.quantization.quantize_dynamic(m.decoder, {torch.nn.Linear}, dtype=torch.qint8)
if mode.endswith("compile"):
    m.decoder.forward = torch.compile(m.decoder.forward, dynamic=True)
ids = torch.randint(3, 32000, (1, 16)); mask = torch.ones_like(ids)
# time of the parts, by wrapping the modules used inside generate()
T = {"t5": [], "codec": []}
def wrap(obj, name, key):
    f = getattr(obj, name)
    def g(*a, **k):
        t = time.perf_counter(); r = f(*a, **k); T[key].append(time.perf_counter() - t); return r
    setattr(obj, name, g)
wrap(m.text_encoder, "forward", "t5"); wrap(m.audio_encoder, "decode", "codec")
with torch.inference_mode():
    m.generate(input_ids=ids, attention_mask=mask, max_new_tokens=20)
    for k in T: T[k].clear()
    tot = []
    for _ in range(reps):
        t = time.perf_counter()
        w = m.generate(input_ids=ids, attention_mask=mask, max_new_tokens=steps)
        tot.append(time.perf_counter() - t)
audio_s = w.shape[-1] / 32000
t5, codec, total = med(T["t5"]), med(T["codec"]), med(tot)
lm = total - t5 - codec
out({"peer": "hf-transformers-musicgen-small", "mode": mode, "steps": steps, "audio_s": round(audio_s, 3),
        "total_s": round(total, 3), "total_all": [round(x, 3) for x in tot], "t5_ms": round(t5 * 1e3, 1),
        "lm_steps_per_s": round(steps / lm, 2), "codec_s_per_audio_s": round(codec / audio_s, 4),
        "rtf": round(total / audio_s, 3), "build_s": round(build_s, 1)})
