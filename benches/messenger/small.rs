//! Messages with a front of 256 bytes, sent by one thread as fast as it can, until the last is
//! dispatched. Messages per second. Raw TCP writes the same bytes without a header, one message or
//! eight with each call.

use std::time::Duration;

use anyhow::Result;
use ceph_msgr::msgr::Message;

use crate::ours::{MODES, Mode, OneWay};
use crate::raw;
use crate::table::{Table, Target, take_turns};

pub(crate) const LEN: usize = 256;
const N: u64 = 100_000;

pub(crate) fn run(rounds: usize, table: &mut Table) -> Result<()> {
    let msg = message();
    let pairs = MODES.iter().map(|m| OneWay::new(*m)).collect::<Result<Vec<_>>>()?;
    let mut sock = raw::OneWay::new(LEN << 6)?;
    let mut sock8 = raw::OneWay::new(LEN << 6)?;
    let rate = |time: Result<Duration>| N as f64 / time.expect("a bench").as_secs_f64();
    let mut contenders: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for pair in &pairs {
        contenders.push(Box::new(|| rate(pair.run(&msg, N))));
    }
    contenders.push(Box::new(|| rate(sock.run(&[7; LEN], N))));
    contenders.push(Box::new(|| rate(sock8.run(&[7; 8 * LEN], N / 8))));
    let samples = take_turns(rounds, N, &mut contenders);
    drop(contenders);
    let [.., one, eight] = &samples[..] else { return Ok(()) };
    for (mode, ours) in MODES.iter().zip(&samples) {
        let target = if mode.is_default() { Target::AtLeast(300_000.0) } else { Target::None };
        let name = mode.name;
        table.add_contender(&format!("{name}: 256 bytes, messages/s"), ours, one, target);
        let name = format!("{name}: the same, beside eight to a write");
        table.add_contender(&name, ours, eight, Target::None);
    }
    Mode::compare(table, "256 bytes", &samples, true);
    sock.close();
    sock8.close();
    pairs.into_iter().try_for_each(OneWay::close)
}

pub(crate) fn message() -> Message {
    Message::new(1, vec![7; LEN])
}
