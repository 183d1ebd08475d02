//! Messages with 4 MiB of data, one behind the other in one direction, until the last is
//! dispatched. MiB per second of data.

use std::time::Duration;

use anyhow::Result;
use ceph_msgr::msgr::Message;

use crate::ours::{MODES, Mode, OneWay};
use crate::raw;
use crate::table::{Table, Target, take_turns};

const LEN: usize = 4 << 20;
const N: u64 = 64;

pub(crate) fn run(rounds: usize, table: &mut Table) -> Result<()> {
    let data = vec![7; LEN];
    let msg = Message::new(1, &b""[..]).with_data(data.clone());
    let pairs = MODES.iter().map(|m| OneWay::new(*m)).collect::<Result<Vec<_>>>()?;
    let mut sock = raw::OneWay::new(LEN)?;
    let rate = |time: Result<Duration>| {
        (LEN >> 20) as f64 * N as f64 / time.expect("a bench").as_secs_f64()
    };
    let mut contenders: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for pair in &pairs {
        contenders.push(Box::new(|| rate(pair.run(&msg, N))));
    }
    contenders.push(Box::new(|| rate(sock.run(&data, N))));
    let samples = take_turns(rounds, N, &mut contenders);
    drop(contenders);
    let Some(raw) = samples.last() else { return Ok(()) };
    for (mode, ours) in MODES.iter().zip(&samples) {
        let target = match mode {
            mode if mode.is_default() => Target::RatioAtLeast(0.9),
            mode if mode.is_secure() => Target::RatioAtLeast(0.65),
            _ => Target::None,
        };
        let name = format!("{}: stream of 4 MiB, MiB/s", mode.name);
        table.add_contender(&name, ours, raw, target);
    }
    Mode::compare(table, "stream of 4 MiB", &samples, true);
    sock.close();
    pairs.into_iter().try_for_each(OneWay::close)
}
