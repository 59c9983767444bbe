//! Numbers of the engine, the queue and the process as they are at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use partita_engine::{Engine, Numbers};
use partita_queue::{Lane, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// What a look finds.
#[derive(Debug)]
pub struct Snapshot {
    pub numbers: Numbers,
    /// `None` when the store cannot be reached.
    pub stats: Option<Stats>,
    pub streams: usize,
    pub started: Instant,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        let numbers = &self.numbers;
        self.tasks(&mut page)?;
        page.gauge("music_gen_active_generations", "Tasks at work in this process", numbers.running)?;
        if let Some(stats) = &self.stats {
            page.lanes("partita_queue_depth", "Tasks that wait", &stats.queued)?;
            page.lanes("partita_queue_running", "Tasks at work on all machines", &stats.running)?;
            page.gauge(
                "partita_queue_parked",
                "Tasks given up after too many tries, among those kept",
                stats.parked,
            )?;
            page.gauge("partita_queue_deliveries", "Webhook calls that wait", stats.deliveries)?;
        }
        page.counter("partita_tokens", "Tokens drawn", numbers.tokens)?;
        page.float("partita_tokens_per_second", "Tokens drawn a second, lately", numbers.tokens_per_second)?;
        page.counter("partita_decoder_steps", "Steps of decoders", numbers.steps)?;
        let mean = numbers.step_sequences as f64 / numbers.steps.max(1) as f64;
        page.float("partita_decoder_batch_mean", "Sequences that shared a decoder step, on average", mean)?;
        page.counter("partita_cache_hits", "Results found in the cache", numbers.cache_hits)?;
        page.counter("partita_cache_misses", "Results not found in the cache", numbers.cache_misses)?;
        page.gauge("partita_cache_bytes", "Bytes of results in memory", numbers.cache_bytes)?;
        page.models("partita_model_memory_bytes", "Bytes of models in memory", &numbers.model_memory)?;
        page.gauge("partita_streams_open", "Event streams open", self.streams as u64)?;
        if let Some(bytes) = resident_bytes() {
            page.gauge("partita_process_memory_bytes", "Resident memory of the process", bytes)?;
        }
        page.float("partita_uptime_seconds", "Time since the start", self.started.elapsed().as_secs_f64())
    }
}

impl Snapshot {
    fn tasks(&self, page: &mut Page) -> fmt::Result {
        // The engine tells kinds apart; here a model is enough.
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut times: BTreeMap<&str, (f64, u64, [u64; Engine::BUCKETS.len()])> = BTreeMap::new();
        // A try that another follows, here or elsewhere, is no end.
        let ends = |status: &str| matches!(status, "complete" | "failed" | "cancelled");
        for task in self.numbers.tasks.iter().filter(|task| ends(&task.status)) {
            let model = if task.model.is_empty() { "none" } else { task.model.as_str() };
            *counts.entry((model, &task.status)).or_default() += task.count;
            let (seconds, count, within) = times.entry(model).or_default();
            *seconds += task.seconds;
            *count += task.count;
            for (sum, within) in within.iter_mut().zip(&task.buckets) {
                *sum += within;
            }
        }
        let mut metric =
            page.0.encode_descriptor("music_gen_requests", "Tasks that ended", None, MetricType::Counter)?;
        for ((model, status), count) in counts {
            let labels = [("model", model), ("status", status)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let mut metric = page.0.encode_descriptor(
            "music_gen_duration_seconds",
            "Time from claim to end of a task",
            None,
            MetricType::Histogram,
        )?;
        for (model, (seconds, count, within)) in times {
            let labels = [("model", model)];
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds,
                count,
                &apart(count, within),
                None,
            )?;
        }
        Ok(())
    }
}

/// Buckets that hold what the one before does not, as the encoder wants them, from buckets that hold it too.
fn apart(count: u64, within: [u64; Engine::BUCKETS.len()]) -> Vec<(f64, u64)> {
    let mut before = 0;
    let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(within.len() + 1);
    for (bound, within) in Engine::BUCKETS.into_iter().zip(within) {
        buckets.push((bound, within.saturating_sub(before)));
        before = before.max(within);
    }
    buckets.push((f64::INFINITY, count.saturating_sub(before)));
    buckets
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn float(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn lanes(&mut self, name: &str, help: &str, values: &BTreeMap<Lane, u64>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for lane in Lane::ALL {
            let value = values.get(&lane).copied().unwrap_or_default();
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            metric.encode_family(&[("lane", lane.name())])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn models(&mut self, name: &str, help: &str, values: &[(String, u64)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (model, value) in values {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            metric.encode_family(&[("model", model.as_str())])?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

/// Where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Four tasks of 0.08 s.
    pub fn ended(model: &str, status: &str) -> partita_engine::TaskNumbers {
        let buckets = Engine::BUCKETS.iter().map(|bound| if *bound < 0.08 { 0 } else { 4 }).collect();
        partita_engine::TaskNumbers {
            kind: "generate".into(),
            model: model.into(),
            status: status.into(),
            count: 4,
            seconds: 0.32,
            buckets,
        }
    }

    #[test]
    fn buckets_are_told_apart() {
        let mut within = [5; 12];
        within[0] = 2;
        let buckets = apart(6, within);
        assert_eq!(buckets[0], (0.05, 2));
        assert_eq!(buckets[1], (0.1, 3));
        assert!(buckets[2..12].iter().all(|(_, count)| *count == 0));
        assert_eq!(buckets[12].1, 1);
    }
}
