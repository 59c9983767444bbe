//! The keys and values of one sequence in one layer, and the attention of one query to them.
//!
//! Keys are kept the way weights are packed, sixteen positions to a tile, so scores are a matrix
//! product. So is the sum of values in 8 bits, whose tiles hold sixteen `d`; values in f32 are kept by position.
//!
//! ```text
//! keys    [head][position / 16] tiles   f32 [d][position]    int8 [d / 4][position][4], key + 128
//! values  f32   [head][position][d padded to 16]
//!         int8  [head][position / 4][d / 16] tiles [d][position % 4], value + 128
//! scales  [head][position]              int8 only, one for keys and one for values
//! ```
//! With values in 8 bits the softmax, times the scales of the values, is rounded to [`MOST_WEIGHT`] steps: two rows of
//! seven bits, which is what the integer products take. That is a hundred times finer than the values.

use crate::activations::{quantize, quantum};
use crate::generic::{Generic, Kernel, Layout, TILE};
use crate::math::{ROUND, exp};
use crate::matrix::SMALLEST;
use crate::multiversion;
use crate::rows::{fold, larger, tree};
use crate::{Path, buffer::Buffer};

/// The largest weight of a value in 8 bits: 14 bits, `high * 128 + low`.
const MOST_WEIGHT: f32 = 16_383.0;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvPrecision {
    /// 32 bits a value.
    F32,
    /// 8 bits a value and a scale for each position and head: a quarter of the memory traffic.
    Int8,
}

impl KvPrecision {
    /// Both precisions.
    pub const ALL: [KvPrecision; 2] = [KvPrecision::F32, KvPrecision::Int8];

    /// `f32` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            KvPrecision::F32 => "f32",
            KvPrecision::Int8 => "int8",
        }
    }

    /// The precision with this [`name`](Self::name).
    pub fn parse(name: &str) -> Option<KvPrecision> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }
}

/// Keys and values of up to `capacity` positions. Memory is reserved at once but only used as
/// positions are written.
pub struct KvCache {
    heads: usize,
    head_size: usize,
    capacity: usize,
    len: usize,
    precision: KvPrecision,
    keys: Buffer,
    values: Buffer,
    /// Key scales, then value scales, each `[head][position]`.
    scales: Buffer,
}

impl KvCache {
    /// The largest head.
    pub const MAX_HEAD_SIZE: usize = 1024;
    /// The most positions: sums of 8-bit products over them fit 32 bits.
    pub const MAX_POSITIONS: usize = 1 << 16;

    /// An empty cache for `heads` heads of `head_size` values.
    ///
    /// # Panics
    /// If `head_size` is not in `1..=1024` or `capacity` is above 65536.
    pub fn new(heads: usize, head_size: usize, capacity: usize, precision: KvPrecision) -> KvCache {
        assert!((1..=Self::MAX_HEAD_SIZE).contains(&head_size), "head size {head_size}");
        assert!(capacity <= Self::MAX_POSITIONS, "capacity {capacity}");
        let capacity = capacity.next_multiple_of(TILE);
        let value_bytes = if precision == KvPrecision::F32 { 4 } else { 1 };
        let key_tile = key_tile_bytes(precision, head_size);
        KvCache {
            heads,
            head_size,
            capacity,
            len: 0,
            precision,
            keys: Buffer::zeroed(heads * (capacity / TILE) * key_tile),
            values: Buffer::zeroed(heads * capacity * head_size.next_multiple_of(TILE) * value_bytes),
            scales: Buffer::zeroed(if precision == KvPrecision::Int8 { 8 * heads * capacity } else { 0 }),
        }
    }

    /// Bytes that such a cache reserves.
    pub fn bytes_reserved(heads: usize, head_size: usize, capacity: usize, precision: KvPrecision) -> usize {
        let positions = heads * capacity.next_multiple_of(TILE);
        let value = positions * head_size.next_multiple_of(TILE);
        match precision {
            KvPrecision::F32 => 4 * (positions * head_size + value),
            KvPrecision::Int8 => positions * head_size.next_multiple_of(4) + value + 8 * positions,
        }
    }

    /// Positions stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes that attending to all stored positions reads.
    pub fn bytes(&self) -> usize {
        let value_bytes = if self.precision == KvPrecision::F32 { 4 } else { 1 };
        let scales = if self.precision == KvPrecision::Int8 { 8 } else { 0 };
        self.len * self.heads * (2 * self.head_size * value_bytes + scales)
    }

    /// Stores the next position. `key` and `value`: `[H * Dh]`.
    ///
    /// # Panics
    /// If the cache is full or a length is wrong.
    pub fn append(&mut self, path: Path, key: &[f32], value: &[f32]) {
        assert!(self.len < self.capacity, "the cache holds {} positions", self.capacity);
        assert_eq!(key.len(), self.heads * self.head_size);
        assert_eq!(value.len(), key.len());
        let at = self.len;
        for head in 0..self.heads {
            let from = head * self.head_size;
            let (key, value) = (&key[from..][..self.head_size], &value[from..][..self.head_size]);
            match self.precision {
                KvPrecision::F32 => self.append_f32(head, at, key, value),
                KvPrecision::Int8 => self.append_int8(path, head, at, key, value),
            }
        }
        self.len += 1;
    }

    fn append_f32(&mut self, head: usize, at: usize, key: &[f32], value: &[f32]) {
        let tile = (head * self.capacity / TILE + at / TILE) * self.head_size * TILE;
        let keys = &mut self.keys.floats_mut()[tile..][..self.head_size * TILE];
        for (lanes, key) in keys.chunks_exact_mut(TILE).zip(key) {
            lanes[at % TILE] = *key;
        }
        let width = self.head_size.next_multiple_of(TILE);
        self.values.floats_mut()[(head * self.capacity + at) * width..][..self.head_size]
            .copy_from_slice(value);
    }

    fn append_int8(&mut self, path: Path, head: usize, at: usize, key: &[f32], value: &[f32]) {
        let tile_bytes = key_tile_bytes(self.precision, self.head_size);
        let tile = (head * self.capacity / TILE + at / TILE) * tile_bytes;
        let width = self.head_size.next_multiple_of(TILE);
        let position = head * self.capacity + at;
        let keys = &mut self.keys.bytes_mut()[tile..][..tile_bytes];
        let key_scale = store_key(path, key, at % TILE, keys);
        let first = (position - at % 4) * width;
        let values = &mut self.values.bytes_mut()[first..][..4 * width];
        let value_scale = store_value(path, value, at % 4, values);
        let scales = self.scales.floats_mut();
        scales[position] = key_scale;
        scales[self.heads * self.capacity + position] = value_scale;
    }

    /// Attention of one head to the first `len` positions, `softmax(q k / sqrt(Dh)) v`.
    ///
    /// `query` and `out`: `[Dh]`. With `weights` `[len]`, the softmax is copied there.
    ///
    /// # Panics
    /// If `len` is not in `1..=self.len()`, or a length is wrong.
    pub fn attend(
        &self,
        path: Path,
        head: usize,
        query: &[f32],
        len: usize,
        weights: Option<&mut [f32]>,
        out: &mut [f32],
    ) {
        assert!((1..=self.len).contains(&len), "attend to 1..={} positions, got {len}", self.len);
        assert!(head < self.heads && query.len() == self.head_size && out.len() == self.head_size);
        assert!(path.is_supported(), "this CPU has no {}", path.name());
        SCRATCH.with_borrow_mut(|(scores, words)| {
            let padded = len.next_multiple_of(TILE);
            if scores.len() < padded {
                scores.resize(padded, 0.0);
                words.resize(padded / 2, 0);
            }
            let (scores, words) = (&mut scores[..padded], &mut words[..padded / 2]);
            let job = Attend { cache: self, head, query, len, weights, scores, words, out };
            match path {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has the path, by the assertion above.
                Path::Avx2 => unsafe { crate::x86_64::attend_avx2(job) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Path::Avx512 => unsafe { crate::x86_64::attend_avx512(job) },
                _ => attend_head::<Generic>(job),
            }
        });
    }
}

fn key_tile_bytes(precision: KvPrecision, head_size: usize) -> usize {
    match precision {
        KvPrecision::F32 => head_size * TILE * 4,
        KvPrecision::Int8 => head_size.div_ceil(4) * 64,
    }
}

/// Quantises `values` into words of four bytes, the last filled up with zeros, and returns their sum.
#[inline(always)]
fn quantize_words(values: &[f32], inverse: f32, words: &mut [i32]) -> i32 {
    let mut totals = [0i32; TILE];
    for (values, words) in values.chunks(TILE).zip(words.chunks_mut(TILE / 4)) {
        let mut row = [0.0; TILE];
        row[..values.len()].copy_from_slice(values);
        let mut bytes = [0u8; TILE];
        for lane in 0..TILE {
            let whole = quantize(row[lane], inverse);
            totals[lane] = totals[lane].wrapping_add(i32::from(whole));
            bytes[lane] = whole as u8;
        }
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = i32::from_le_bytes(*bytes);
        }
    }
    totals.into_iter().fold(0, i32::wrapping_add)
}

/// Turns each of four signed bytes into the same plus 128.
const FLIP: u32 = 0x8080_8080;

multiversion! {
    /// Quantises a key into one lane of its tile and returns its scale.
    fn store_key(key: &[f32], lane: usize, tile: &mut [u8]) -> f32 {
        let (scale, inverse) = quantum(key);
        let mut words = [0i32; KvCache::MAX_HEAD_SIZE / 4];
        quantize_words(key, inverse, &mut words);
        for (quad, word) in tile.as_chunks_mut::<{ 4 * TILE }>().0.iter_mut().zip(words) {
            quad[4 * lane..][..4].copy_from_slice(&(word as u32 ^ FLIP).to_le_bytes());
        }
        scale
    }
}

multiversion! {
    /// The same for a value and one place of its four.
    fn store_value(value: &[f32], place: usize, tiles: &mut [u8]) -> f32 {
        let (scale, inverse) = quantum(value);
        let mut words = [0i32; KvCache::MAX_HEAD_SIZE / 4];
        quantize_words(value, inverse, &mut words);
        for (quads, word) in tiles.as_chunks_mut::<16>().0.iter_mut().zip(words) {
            for (quad, byte) in quads.as_chunks_mut::<4>().0.iter_mut().zip((word as u32 ^ FLIP).to_le_bytes()) {
                quad[place % 4] = byte;
            }
        }
        scale
    }
}

/// One call of [`KvCache::attend`].
pub(crate) struct Attend<'a> {
    cache: &'a KvCache,
    head: usize,
    query: &'a [f32],
    len: usize,
    weights: Option<&'a mut [f32]>,
    /// Scratch, `[len]` rounded up to whole tiles.
    scores: &'a mut [f32],
    /// Scratch, two words for every four scores.
    words: &'a mut [i32],
    out: &'a mut [f32],
}

thread_local! {
    /// Scores and words of [`Attend`], reused from call to call.
    static SCRATCH: std::cell::RefCell<(Vec<f32>, Vec<i32>)> = const { std::cell::RefCell::new((vec![], vec![])) };
}

/// [`KvCache::attend`] with the kernel of one path. **Rule:** no part of it may sit in a closure that
/// is not inlined: that would be compiled without the path's instruction set.
#[inline(always)]
pub(crate) fn attend_head<K: Kernel>(job: Attend<'_>) {
    let Attend { cache, head, query, len, weights, scores, words, out } = job;
    match cache.precision {
        KvPrecision::F32 => scores_f32::<K>(cache, head, query, scores),
        KvPrecision::Int8 => scores_int8::<K>(cache, head, query, scores),
    }
    // A tile may hold positions that are not part of this sequence (any more); they get no weight.
    scores[len..].fill(f32::NEG_INFINITY);
    let top = fold(scores, f32::NEG_INFINITY, |lane, value| larger(value, lane), larger);
    let mut totals = [0.0; TILE];
    for scores in scores.as_chunks_mut::<TILE>().0 {
        for lane in 0..TILE {
            scores[lane] = exp(scores[lane] - top);
            totals[lane] += scores[lane];
        }
    }
    let inverse = 1.0 / tree(totals, |a, b| a + b);
    if let Some(weights) = weights {
        for (weight, score) in weights.iter_mut().zip(&*scores) {
            *weight = score * inverse;
        }
    }
    let width = cache.head_size.next_multiple_of(TILE);
    let first = head * cache.capacity;
    match cache.precision {
        KvPrecision::F32 => {
            let values = &cache.values.floats()[first * width..][..len * width];
            mix::<K>(&scores[..len], values, inverse, out);
        }
        KvPrecision::Int8 => {
            let scales = &cache.scales.floats()[(cache.heads * cache.capacity) + first..][..scores.len()];
            let weights = whole_weights(scores, scales, words);
            let quads = len.div_ceil(4);
            let values = &cache.values.bytes()[first * width..][..4 * quads * width];
            mix_int8::<K>(words, values, quads, &weights, inverse, out);
        }
    }
}

/// Weights as whole numbers of `step`; the sums of their upper and lower halves.
struct WholeWeights {
    step: f32,
    high: i32,
    low: i32,
}

/// `scores * scales` as two rows of words, `[position / 4][upper, lower half]`. All in whole tiles.
#[inline(always)]
fn whole_weights(scores: &mut [f32], scales: &[f32], words: &mut [i32]) -> WholeWeights {
    let mut tops = [0.0; TILE];
    let (scores, _) = scores.as_chunks_mut::<TILE>();
    let (scales, _) = scales.as_chunks::<TILE>();
    for (scores, scales) in scores.iter_mut().zip(scales) {
        // Beyond the end a scale may be left over from an older sequence; the score is 0 there.
        let mut weighted = *scores;
        for lane in 0..TILE {
            weighted[lane] *= scales[lane];
        }
        for lane in 0..TILE {
            tops[lane] = larger(weighted[lane], tops[lane]);
        }
        *scores = weighted;
    }
    let top = tree(tops, larger);
    let inverse = if top > SMALLEST { MOST_WEIGHT / top } else { 0.0 };
    let (mut high, mut low) = ([0i32; TILE], [0i32; TILE]);
    let (words, _) = words.as_chunks_mut::<{ TILE / 2 }>();
    for (scores, words) in scores.iter().zip(words) {
        let (mut upper, mut lower) = ([0u8; TILE], [0u8; TILE]);
        for lane in 0..TILE {
            let whole = scores[lane].mul_add(inverse, ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32;
            high[lane] = high[lane].wrapping_add(whole >> 7);
            low[lane] = low[lane].wrapping_add(whole & 127);
            upper[lane] = (whole >> 7) as u8;
            lower[lane] = (whole & 127) as u8;
        }
        for quad in 0..TILE / 4 {
            for (word, bytes) in words[2 * quad..].iter_mut().zip([&upper, &lower]) {
                let bytes: [u8; 4] = bytes[4 * quad..][..4].try_into().expect("four bytes");
                *word = i32::from_le_bytes(bytes);
            }
        }
    }
    let sum = |lanes: [i32; TILE]| lanes.into_iter().fold(0, i32::wrapping_add);
    WholeWeights {
        step: if top > SMALLEST { top / MOST_WEIGHT } else { 0.0 },
        high: sum(high),
        low: sum(low),
    }
}

#[inline(always)]
fn scale_of(query: &[f32]) -> f32 {
    1.0 / (query.len() as f32).sqrt()
}

#[inline(always)]
fn scores_f32<K: Kernel>(cache: &KvCache, head: usize, query: &[f32], scores: &mut [f32]) {
    let scale = scale_of(query);
    let tile_len = query.len() * TILE;
    let tiles = scores.len() / TILE;
    let keys = &cache.keys.floats()[head * cache.capacity / TILE * tile_len..][..tiles * tile_len];
    let mut tile = 0;
    while tile + 4 <= tiles {
        let keys = &keys[tile * tile_len..][..4 * tile_len];
        // SAFETY: four tiles of `Dh` steps; the caller has checked the path.
        let sums = unsafe { K::dot_f32::<1, 4>(keys.as_ptr(), query.len(), query.as_ptr()) };
        for (scores, sums) in scores[tile * TILE..].chunks_exact_mut(TILE).zip(sums) {
            for lane in 0..TILE {
                scores[lane] = sums[0][lane] * scale;
            }
        }
        tile += 4;
    }
    for tile in tile..tiles {
        let keys = &keys[tile * tile_len..][..tile_len];
        // SAFETY: one tile of `Dh` steps; the caller has checked the path.
        let sums = unsafe { K::dot_f32::<1, 1>(keys.as_ptr(), query.len(), query.as_ptr()) };
        let scores = &mut scores[tile * TILE..][..TILE];
        for lane in 0..TILE {
            scores[lane] = sums[0][0][lane] * scale;
        }
    }
}

#[inline(always)]
fn scores_int8<K: Kernel>(cache: &KvCache, head: usize, query: &[f32], scores: &mut [f32]) {
    let (query_scale, inverse) = quantum(query);
    let quads = query.len().div_ceil(4);
    let mut words = [0i32; KvCache::MAX_HEAD_SIZE / 4];
    let total = quantize_words(query, inverse, &mut words);
    let scale = query_scale * scale_of(query);
    let tile_bytes = quads * 64;
    let tiles = scores.len() / TILE;
    let keys = &cache.keys.bytes()[head * cache.capacity / TILE * tile_bytes..][..tiles * tile_bytes];
    let scales = &cache.scales.floats()[head * cache.capacity..][..scores.len()];
    let layout = Layout { quads, step: 4 * TILE, apart: tile_bytes };
    // Values are read last, after two passes over the scores; asked for here, they come meanwhile.
    let width = query.len().next_multiple_of(TILE);
    let values = &cache.values.bytes()[head * cache.capacity * width..][..scores.len() * width];
    let offset = total.wrapping_mul(128);
    let mut tile = 0;
    while tile + 4 <= tiles {
        let keys = &keys[tile * tile_bytes..][..4 * tile_bytes];
        K::fetch(&values[tile * TILE * width..][..4 * TILE * width]);
        // SAFETY: four tiles of `quads` steps; the caller has checked the path.
        let sums = unsafe { K::dot_int8::<1, 4>(keys.as_ptr(), layout, words.as_ptr()) };
        for (ahead, sums) in sums.iter().enumerate() {
            let at = (tile + ahead) * TILE;
            put_scores(&sums[0], offset, scale, &scales[at..][..TILE], &mut scores[at..][..TILE]);
        }
        tile += 4;
    }
    while tile < tiles {
        let keys = &keys[tile * tile_bytes..][..tile_bytes];
        // SAFETY: one tile of `quads` steps; the caller has checked the path.
        let sums = unsafe { K::dot_int8::<1, 1>(keys.as_ptr(), layout, words.as_ptr()) };
        let at = tile * TILE;
        put_scores(&sums[0][0], offset, scale, &scales[at..][..TILE], &mut scores[at..][..TILE]);
        tile += 1;
    }
}

#[inline(always)]
fn put_scores(sums: &[i32; TILE], offset: i32, scale: f32, scales: &[f32], scores: &mut [f32]) {
    for lane in 0..TILE {
        scores[lane] = sums[lane].wrapping_sub(offset) as f32 * (scale * scales[lane]);
    }
}

/// `out[d] = inverse * sum over positions of weights[position] * values[position][d]`.
#[inline(always)]
fn mix<K: Kernel>(weights: &[f32], values: &[f32], inverse: f32, out: &mut [f32]) {
    let stride = out.len().next_multiple_of(TILE);
    assert_eq!(values.len(), weights.len() * stride, "one padded row of values for each weight");
    let mut tile = 0;
    while tile * TILE < out.len() {
        let start = values[tile * TILE..].as_ptr();
        let out = &mut out[tile * TILE..];
        if out.len() >= 2 * TILE {
            // SAFETY: rows are padded to whole tiles, and two are left; the caller has checked the path.
            let sums = unsafe { K::mix::<2>(weights.as_ptr(), weights.len(), start, stride) };
            for (out, sums) in out.chunks_exact_mut(TILE).zip(sums) {
                scale_tile(&sums, inverse, out);
            }
            tile += 2;
        } else {
            // SAFETY: as above, with one tile left.
            let sums = unsafe { K::mix::<1>(weights.as_ptr(), weights.len(), start, stride) };
            scale_tile(&sums[0], inverse, out);
            tile += 1;
        }
    }
}

/// [`mix`] with weights and values as whole numbers.
#[inline(always)]
fn mix_int8<K: Kernel>(
    words: &[i32],
    values: &[u8],
    quads: usize,
    weights: &WholeWeights,
    inverse: f32,
    out: &mut [f32],
) {
    let tiles = out.len().div_ceil(TILE);
    let step = tiles * 4 * TILE;
    assert!(words.len() >= 2 * quads && values.len() == quads * step, "two words for four values");
    let layout = Layout { quads, step, apart: 4 * TILE };
    let scale = weights.step * inverse;
    let mut tile = 0;
    while tile + 4 <= tiles {
        let values = values[tile * 4 * TILE..].as_ptr();
        // SAFETY: each row of four positions has four more tiles; the caller has checked the path.
        let sums = unsafe { K::dot_int8::<2, 4>(values, layout, words.as_ptr()) };
        for (ahead, sums) in sums.iter().enumerate() {
            put_mixed(sums, weights, scale, &mut out[(tile + ahead) * TILE..]);
        }
        tile += 4;
    }
    while tile < tiles {
        let values = values[tile * 4 * TILE..].as_ptr();
        // SAFETY: as above, with one more tile.
        let sums = unsafe { K::dot_int8::<2, 1>(values, layout, words.as_ptr()) };
        put_mixed(&sums[0], weights, scale, &mut out[tile * TILE..]);
        tile += 1;
    }
}

#[inline(always)]
fn put_mixed(sums: &[[i32; TILE]; 2], weights: &WholeWeights, scale: f32, out: &mut [f32]) {
    let mut lanes = [0.0; TILE];
    for lane in 0..TILE {
        let high = sums[0][lane].wrapping_sub(weights.high.wrapping_mul(128));
        let low = sums[1][lane].wrapping_sub(weights.low.wrapping_mul(128));
        lanes[lane] = (high as f32).mul_add(128.0, low as f32) * scale;
    }
    let len = out.len().min(TILE);
    out[..len].copy_from_slice(&lanes[..len]);
}

#[inline(always)]
fn scale_tile(sums: &[f32; TILE], inverse: f32, out: &mut [f32]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum * inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 31 + seed * 17) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    fn filled(heads: usize, size: usize, len: usize, precision: KvPrecision, path: Path) -> KvCache {
        let mut cache = KvCache::new(heads, size, len, precision);
        for at in 0..len {
            cache.append(path, &row(heads * size, at), &row(heads * size, at + 1000));
        }
        cache
    }

    fn attended(cache: &KvCache, path: Path, query: &[f32], len: usize) -> Vec<f32> {
        let size = cache.head_size;
        let mut out = vec![0.0; cache.heads * size];
        for head in 0..cache.heads {
            let query = &query[head * size..][..size];
            cache.attend(path, head, query, len, None, &mut out[head * size..][..size]);
        }
        out
    }

    #[test]
    fn attention_is_close_to_its_formula() {
        let (heads, size, len) = (2, 20, 37);
        let query = row(heads * size, 77);
        for (precision, worst) in [(KvPrecision::F32, 1e-5), (KvPrecision::Int8, 0.02)] {
            let cache = filled(heads, size, len, precision, Path::Generic);
            let got = attended(&cache, Path::Generic, &query, len);
            for head in 0..heads {
                let part = |row: Vec<f32>| row[head * size..][..size].to_vec();
                let score = |at| {
                    let dot: f32 = part(row(heads * size, at))
                        .iter()
                        .zip(&query[head * size..])
                        .map(|(k, q)| k * q)
                        .sum();
                    (dot / (size as f32).sqrt()).exp()
                };
                let total: f32 = (0..len).map(score).sum();
                for d in 0..size {
                    let exact: f32 =
                        (0..len).map(|at| score(at) / total * part(row(heads * size, at + 1000))[d]).sum();
                    assert!((got[head * size + d] - exact).abs() < worst, "{precision:?}");
                }
            }
        }
    }

    #[test]
    fn attention_has_the_same_bits_on_every_path() {
        for (heads, size, len) in [(1, 8, 1), (4, 8, 15), (2, 32, 70), (3, 50, 33), (2, 64, 130)] {
            let query = row(heads * size, 77);
            for precision in KvPrecision::ALL {
                let expected =
                    attended(&filled(heads, size, len, precision, Path::Generic), Path::Generic, &query, len);
                for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
                    let got = attended(&filled(heads, size, len, precision, path), path, &query, len);
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&got), bits(&expected), "{path:?} {precision:?} {size}");
                }
            }
        }
    }

    #[test]
    fn later_positions_change_nothing() {
        let query = row(64, 5);
        for precision in KvPrecision::ALL {
            let short = filled(2, 32, 20, precision, Path::Generic);
            let mut long = filled(2, 32, 40, precision, Path::Generic);
            let expected = attended(&short, Path::Generic, &query, 20);
            assert_eq!(attended(&long, Path::Generic, &query, 20), expected);
            long.truncate(20);
            assert_eq!(long.len(), 20);
            assert_eq!(attended(&long, Path::Generic, &query, 20), expected);
        }
    }
}
