//! How fast it is, beside a bare socket.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ceph_msgr::msgr::Message;

use crate::raw;
use crate::service::{COUNT, ECHO, HOW_MANY};
use crate::steps::Client;

const SMALL: usize = 4 << 10;
const LARGE: usize = 4 << 20;
const ROUND_TRIPS: u32 = 2000;
const STREAM: u32 = 64;
/// They take turns, so that whatever else the machine does meets both; the median of each counts.
const TURNS: usize = 5;

const LEGEND: &str =
    "Medians of five, both ends in this process. The session is lossless and signed, with
    checksums; the client calls the blocking `send` and `Inbox::recv`, so that what comes back
    passes from the connection's thread to the caller's. Nothing is pinned to a CPU: the two
    threads of the raw pair often share one, which suits them best.";

pub(crate) fn table(client: &Client) -> Result<()> {
    let mut took: [Vec<Duration>; 4] = Default::default();
    for _ in 0..TURNS {
        let [small, small_raw, large, large_raw] = &mut took;
        small.push(round_trips(client)?);
        small_raw.push(raw::round_trips(SMALL, ROUND_TRIPS)?);
        large.push(stream(client)?);
        large_raw.push(raw::one_way(LARGE, STREAM)?);
    }
    let [small, small_raw, large, large_raw] = took.map(|mut turns| {
        turns.sort();
        turns[TURNS / 2]
    });
    let per_s = |took: Duration| f64::from(ROUND_TRIPS) / took.as_secs_f64();
    let mib_per_s = |took: Duration| f64::from(STREAM) * (LARGE >> 20) as f64 / took.as_secs_f64();
    println!("                                   messenger v1      raw TCP      ratio");
    row("round trips of 4 KiB each second", per_s(small), per_s(small_raw));
    row("MiB each second, 4 MiB messages", mib_per_s(large), mib_per_s(large_raw));
    println!("\n    {LEGEND}");
    Ok(())
}

fn row(what: &str, ours: f64, raw: f64) {
    println!("{what:<35}{ours:>12.0} {raw:>12.0} {:>10.2}", ours / raw);
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
