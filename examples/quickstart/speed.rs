//! How fast it is, beside a bare socket.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ceph_msgr::msgr::Message;

use crate::raw;
use crate::service::{COUNT, ECHO, HOW_MANY};
use crate::steps::{Client, Pair};

const SMALL: usize = 4 << 10;
const LARGE: usize = 4 << 20;
const ROUND_TRIPS: u32 = 2000;
const STREAM: u32 = 64;
/// They take turns, so that whatever else the machine does meets both; the median of each counts.
const TURNS: usize = 5;

const LEGEND: &str =
    "Medians of five, both ends in this process. Sessions are lossless: with v1 messages are signed
    and have checksums, with v2 frames have checksums or are sealed. The client calls the
    blocking `send` and `Inbox::recv`, so that what comes back passes from the connection's thread
    to the caller's. Nothing is pinned to a CPU: the two threads of the raw pair often share one,
    which suits them best.";

/// How long both took, each time.
#[derive(Default)]
struct Turns {
    small: Vec<Duration>,
    large: Vec<Duration>,
}

pub(crate) fn table(pairs: &[Pair]) -> Result<()> {
    let mut raw = Turns::default();
    let mut ours: Vec<_> = pairs.iter().map(|_| Turns::default()).collect();
    for _ in 0..TURNS {
        raw.small.push(raw::round_trips(SMALL, ROUND_TRIPS)?);
        raw.large.push(raw::one_way(LARGE, STREAM)?);
        for (pair, turns) in pairs.iter().zip(&mut ours) {
            turns.small.push(round_trips(&pair.client)?);
            turns.large.push(stream(&pair.client)?);
        }
    }
    let raw = raw.medians();
    println!("{:<24}{:>20}{:>24}", "", "round trips a second", "MiB a second");
    println!("{:<24}{:>20}{:>24}", "", "of 4 KiB", "in messages of 4 MiB");
    row("raw TCP", raw, raw);
    for (pair, turns) in pairs.iter().zip(ours) {
        row(&pair.protocol.to_string(), turns.medians(), raw);
    }
    println!("\n    {LEGEND}");
    Ok(())
}

impl Turns {
    /// Round trips and MiB each second.
    fn medians(mut self) -> [f64; 2] {
        self.small.sort();
        self.large.sort();
        let [small, large] = [self.small, self.large].map(|turns| turns[TURNS / 2].as_secs_f64());
        [f64::from(ROUND_TRIPS) / small, f64::from(STREAM) * (LARGE >> 20) as f64 / large]
    }
}

/// Each figure, and what part it is of raw TCP's.
fn row(what: &str, [small, large]: [f64; 2], [raw_small, raw_large]: [f64; 2]) {
    let (small_ratio, large_ratio) = (small / raw_small, large / raw_large);
    println!("{what:<24}{small:>13.0}{small_ratio:>7.2}{large:>17.0}{large_ratio:>7.2}");
}

fn round_trips(client: &Client) -> Result<Duration> {
    let msg = Message::new(ECHO, Vec::new()).with_data(vec![7; SMALL]);
    let begin = Instant::now();
    for _ in 0..ROUND_TRIPS {
        client.send(msg.clone())?;
        ensure!(client.receive()?.data.len() == SMALL, "an answer of another length");
    }
    Ok(begin.elapsed())
}

fn stream(client: &Client) -> Result<Duration> {
    let msg = Message::new(COUNT, Vec::new()).with_data(vec![7; LARGE]);
    let begin = Instant::now();
    for _ in 0..STREAM {
        client.send(msg.clone())?;
    }
    client.send(Message::new(HOW_MANY, Vec::new()))?;
    let counted = client.receive()?;
    let took = begin.elapsed();
    ensure!(counted.front[..] == STREAM.to_le_bytes(), "not all of the stream was counted");
    Ok(took)
}
