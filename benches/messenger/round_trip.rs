//! A question of 4 KiB of data and an answer as long, on a lossy session: `send`, then
//! `Inbox::recv`; the peer answers in its dispatcher. Microseconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ceph_msgr::msgr::Message;
use ceph_msgr::net::Delivery;

use crate::ours::{Echo, MODES, Pair, soon};
use crate::raw;
use crate::table::{Table, Target, take_turns};

pub(crate) const LEN: usize = 4096;
const N: u64 = 3000;

pub(crate) fn run(rounds: usize, table: &mut Table) -> Result<()> {
    let pairs = MODES.iter().map(|m| Pair::new(*m, Arc::new(Echo))).collect::<Result<Vec<_>>>()?;
    let mut sock = raw::Echo::new(LEN)?;
    let micros = |time: Result<Duration>| time.expect("a bench").as_secs_f64() * 1e6 / N as f64;
    let mut contenders: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    contenders.extend(pairs.iter().map(|pair| Box::new(move || micros(ask(pair, N))) as Box<_>));
    contenders.push(Box::new(|| micros(sock.run(N))));
    let samples = take_turns(rounds, &mut contenders);
    drop(contenders);
    for (mode, ours) in MODES.iter().zip(&samples) {
        let target = if mode.is_default() { Target::RatioAtMost(1.3) } else { Target::None };
        table.add(format!("{}: round trip of 4 KiB, us", mode.name), ours, samples.last(), target);
    }
    sock.close();
    pairs.into_iter().try_for_each(Pair::close)
}

/// So many questions, each when the last is answered.
pub(crate) fn ask(pair: &Pair, n: u64) -> Result<Duration> {
    let data = bytes::Bytes::from(vec![7; LEN]);
    let begin = Instant::now();
    for _ in 0..n {
        pair.con.send(Message::new(1, &b""[..]).with_data(data.clone()))?;
        let answer = pair.inbox.recv(soon())?;
        assert!(matches!(&answer, Delivery::Message(_, msg) if msg.data.len() == LEN));
    }
    Ok(begin.elapsed())
}
