//! One network, or several that decide together.

use std::sync::Arc;

use partita_kernels::KvCache;
use partita_nn::{Decoder, Gpt, Result, SequenceId};

use super::{Compute, MEMORY};

/// Networks over the same tokens, each with its weight; their logits are averaged by weight, which multiplies their
/// probabilities.
#[derive(Clone)]
pub struct Network {
    /// Weights sum to 1.
    members: Vec<(Arc<Gpt>, f32)>,
}

impl Network {
    /// A single network.
    pub fn new(gpt: Arc<Gpt>) -> Network {
        Network { members: vec![(gpt, 1.0)] }
    }

    /// Several networks with weights above 0; `None` without a member, for other weights, or for vocabularies that
    /// differ.
    pub fn mixed(members: Vec<(Arc<Gpt>, f32)>) -> Option<Network> {
        let vocab = members.first()?.0.config().vocab;
        let total: f32 = members.iter().map(|(_, weight)| *weight).sum();
        let fits = |(gpt, weight): &(Arc<Gpt>, f32)| gpt.config().vocab == vocab && *weight > 0.0;
        if !(members.iter().all(fits) && total.is_finite()) {
            return None;
        }
        Some(Network { members: members.into_iter().map(|(gpt, weight)| (gpt, weight / total)).collect() })
    }

    /// V.
    pub fn vocab(&self) -> usize {
        self.members[0].0.config().vocab
    }

    /// The most positions of a sequence: what the member with the shortest memory has.
    pub fn context(&self) -> usize {
        self.members.iter().map(|(gpt, _)| gpt.config().context).min().expect("there is a member")
    }

    /// Whether both are made of the same networks in memory.
    pub fn is(&self, other: &Network) -> bool {
        let mut pairs = self.members.iter().zip(&other.members);
        self.members.len() == other.members.len()
            && pairs.all(|(own, other)| Arc::ptr_eq(&own.0, &other.0) && own.1 == other.1)
    }

    /// Bytes of keys and values that a sequence reserves; they are used as it grows.
    pub fn sequence_bytes(&self) -> usize {
        let bytes = |gpt: &Gpt| {
            let config = gpt.config();
            let cache = KvCache::bytes_reserved(config.heads, config.head_size(), config.context, MEMORY);
            config.layers * cache
        };
        self.members.iter().map(|(gpt, _)| bytes(gpt)).sum()
    }
}

/// A decoder for each member.
pub(super) struct Decoders {
    network: Network,
    decoders: Vec<Decoder>,
}

/// A sequence in every decoder.
#[derive(Clone)]
pub(super) struct Ids(Vec<SequenceId>);

impl Decoders {
    pub fn new(network: &Network, compute: &Compute) -> Decoders {
        let decoder = |gpt: &Arc<Gpt>| Decoder::new(gpt, Arc::clone(&compute.pool), compute.path, MEMORY);
        let decoders = network.members.iter().map(|(gpt, _)| decoder(gpt)).collect();
        Decoders { network: network.clone(), decoders }
    }

    /// `added`: `[D]`, added to every input embedding; empty for none.
    pub fn join(&mut self, added: &[f32]) -> Ids {
        let added = (!added.is_empty()).then_some(added);
        Ids(self.decoders.iter_mut().map(|decoder| decoder.join(added)).collect())
    }

    pub fn leave(&mut self, ids: &Ids) {
        self.decoders.iter_mut().zip(&ids.0).for_each(|(decoder, id)| decoder.leave(*id));
    }

    pub fn advance(&mut self, rows: &[(Ids, u32)]) -> Result<()> {
        for (member, decoder) in self.decoders.iter_mut().enumerate() {
            let rows: Vec<(SequenceId, u32)> =
                rows.iter().map(|(ids, token)| (ids.0[member], *token)).collect();
            decoder.advance(&rows)?;
        }
        Ok(())
    }

    pub fn prefill(&mut self, ids: &Ids, tokens: &[u32]) -> Result<()> {
        self.decoders.iter_mut().zip(&ids.0).try_for_each(|(decoder, id)| decoder.prefill(*id, tokens))
    }

    pub fn position(&self, ids: &Ids) -> Result<usize> {
        self.decoders[0].position(ids.0[0])
    }

    pub fn truncate(&mut self, ids: &Ids, len: usize) -> Result<()> {
        self.decoders.iter_mut().zip(&ids.0).try_for_each(|(decoder, id)| decoder.truncate(*id, len))
    }

    /// Logits `[V]` after the last token, mixed in `mixed` where there are several networks.
    ///
    /// # Panics
    /// Before the first token.
    pub fn logits<'a>(&'a self, ids: &Ids, mixed: &'a mut Vec<f32>) -> Result<&'a [f32]> {
        let last = |member: usize| -> Result<&'a [f32]> {
            Ok(self.decoders[member].last_logits(ids.0[member])?.expect("the prompt is never empty"))
        };
        if self.decoders.len() == 1 {
            return last(0);
        }
        mixed.clear();
        mixed.resize(self.network.vocab(), 0.0);
        for (member, (_, weight)) in self.network.members.iter().enumerate() {
            for (sum, logit) in mixed.iter_mut().zip(last(member)?) {
                *sum += weight * logit;
            }
        }
        Ok(mixed)
    }
}
