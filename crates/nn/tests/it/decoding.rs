//! Equalities of decoding: alone = in a batch, step by step = at once, and what happens to sequences.

use std::sync::Arc;

use partita_nn::{Decoder, Error, Gpt, GptConfig, Input, KvPrecision, Path, Pool, Precision};

const VOCAB: u32 = 50;

fn decoder(precision: Precision, kv: KvPrecision) -> Decoder {
    let gpt = Gpt::random(GptConfig::new(VOCAB as usize, 96, 48, 2, 3), precision, 3).unwrap();
    Decoder::new(&Arc::new(gpt), Arc::new(Pool::new(2).unwrap()), Path::from_env().unwrap(), kv)
}

fn every_format(check: impl Fn(Decoder)) {
    for precision in Precision::ALL {
        for kv in KvPrecision::ALL {
            check(decoder(precision, kv));
        }
    }
}

fn ids(len: usize, seed: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (i * 17 + seed * 29 + i * i % 7) % VOCAB).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_prefill_equals_its_steps() {
    every_format(|mut decoder| {
        let tokens = ids(80, 1);
        let (whole, steps) = (decoder.join(None), decoder.join(None));
        decoder.prefill(whole, &tokens).unwrap();
        let all = decoder.forward_all(None, &tokens).unwrap();
        for (at, &token) in tokens.iter().enumerate() {
            let logits = decoder.step(&[(steps, token)]).unwrap();
            assert_eq!(bits(logits.row(0)), bits(all.row(at)), "position {at}");
        }
        let last = |sequence| bits(decoder.last_logits(sequence).unwrap().unwrap());
        assert_eq!(last(whole), last(steps));
        assert_eq!(decoder.position(whole).unwrap(), 80);
    });
}

#[test]
fn a_sequence_does_not_notice_its_neighbours() {
    every_format(|mut decoder| {
        let added: Vec<f32> = (0..48).map(|i| i as f32 * 0.01).collect();
        let expected = decoder.forward_all(Some(&added), &ids(30, 4)).unwrap();
        let mine = decoder.join(Some(&added));
        let mut others = Vec::new();
        for (at, &token) in ids(30, 4).iter().enumerate() {
            if at % 2 == 0 {
                let other = decoder.join(None);
                decoder.prefill(other, &ids(at + 1, 9)).unwrap();
                others.push(other);
            }
            if at % 5 == 4 {
                decoder.leave(others.remove(0));
            }
            let mut step: Vec<_> = others.iter().map(|&other| (other, token)).collect();
            let row = step.len() / 2;
            step.insert(row, (mine, token));
            let logits = decoder.step(&step).unwrap();
            assert_eq!(bits(logits.row(row)), bits(expected.row(at)), "position {at}");
        }
        assert_eq!(decoder.sequences(), 1 + others.len());
    });
}

#[test]
fn a_truncated_sequence_goes_another_way() {
    every_format(|mut decoder| {
        let sequence = decoder.join(None);
        decoder.prefill(sequence, &ids(40, 1)).unwrap();
        decoder.truncate(sequence, 21).unwrap();
        assert_eq!(decoder.position(sequence).unwrap(), 21);
        assert!(decoder.last_logits(sequence).unwrap().is_none());
        let other = [&ids(40, 1)[..21], &ids(10, 6)[..]].concat();
        decoder.prefill(sequence, &ids(10, 6)).unwrap();
        let expected = decoder.forward_all(None, &other).unwrap();
        assert_eq!(bits(decoder.last_logits(sequence).unwrap().unwrap()), bits(expected.row(30)));
    });
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    let mut decoder = decoder(Precision::F32, KvPrecision::F32);
    let (a, gone) = (decoder.join(None), decoder.join(None));
    decoder.leave(gone);
    decoder.leave(gone);
    let again = decoder.join(None);
    let mut message = |step: &[_]| decoder.step(step).unwrap_err().to_string();
    assert_eq!(message(&[(gone, 1)]), "the sequence has left the decoder");
    assert_eq!(message(&[(a, 1), (a, 2)]), "a sequence must appear at most once in a step");
    assert_eq!(message(&[(again, 1), (a, 50)]), "token must be in 0..50, got 50");
    let error = decoder.prefill(a, &ids(97, 0)).unwrap_err();
    assert_eq!(error.to_string(), "a sequence must have at most 96 tokens, got 97");
    assert_eq!(decoder.truncate(a, 1).unwrap_err().to_string(), "the position must be in 0..=0, got 1");
    assert_eq!((decoder.position(a).unwrap(), decoder.position(again).unwrap()), (0, 0));
    decoder.prefill(a, &ids(96, 0)).unwrap();
    assert_eq!(
        decoder.step(&[(a, 0)]).unwrap_err().to_string(),
        "a sequence must have at most 96 tokens, got 97"
    );
    assert_eq!(decoder.step::<u32>(&[]).unwrap().rows(), 0);
    decoder.prefill::<u32>(again, &[]).unwrap();
    assert!(decoder.last_logits(again).unwrap().is_none());
}

#[test]
fn rotary_positions_and_features_give_the_same_bits_at_once_step_by_step_and_in_a_batch() {
    for precision in Precision::ALL {
        let config = GptConfig { rotary: true, features: 9, ..GptConfig::new(VOCAB as usize, 96, 48, 2, 3) };
        let gpt = Arc::new(Gpt::random(config, precision, 3).unwrap());
        let pool = Arc::new(Pool::new(2).unwrap());
        let mut decoder = Decoder::new(&gpt, pool, Path::from_env().unwrap(), KvPrecision::Int8);
        let tokens = ids(80, 1);
        let features: Vec<[u32; 3]> = tokens.iter().map(|id| [id % 9, id * 5 % 9, 8]).collect();
        let input = |at: usize| Input { token: tokens[at], features: &features[at][..at % 4] };
        let inputs: Vec<Input> = (0..80).map(input).collect();
        let all = decoder.forward_all(None, &inputs).unwrap();
        let sequences: Vec<_> = (0..5).map(|_| decoder.join(None)).collect();
        for (at, &input) in inputs.iter().enumerate() {
            let rows: Vec<_> = sequences.iter().map(|&sequence| (sequence, input)).collect();
            let logits = decoder.step(&rows).unwrap();
            for row in 0..rows.len() {
                assert_eq!(bits(logits.row(row)), bits(all.row(at)), "position {at}");
            }
        }
        let plain = decoder.forward_all(None, &tokens).unwrap();
        assert_ne!(bits(plain.row(79)), bits(all.row(79)), "features are heard");
        let outside = decoder.prefill(sequences[0], &[Input { token: 1, features: &[9] }]);
        assert!(matches!(outside, Err(Error::Feature { features: 9, got: 9 })));
    }
}
