//! What the frames of messenger v2 cost beside the AES-128-GCM in them, in memory and on one thread.
//!
//! usage: cargo bench --bench gcm [--no-default-features]
//!
//! Without default features it is pure Rust in place of AWS-LC. Figures are MiB of data a second, the
//! best of several rounds. Whoever reads gets the bytes by one copy, which stands for that of recv(2);
//! who writes hands them to nobody.

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use ceph_msgr::crypto::GcmKey;
use ceph_msgr::msgr::v2::{
    ConMode, FrameRx, FrameTx, OutFrame, Read, Revision, Role, set_con_mode,
};
use ceph_msgr::msgr::{InBuf, OutKvec, Transport};

const ROUNDS: usize = 15;
/// Data of the frames of one round.
const ROUND: usize = 8 << 20;

fn main() -> Result<()> {
    let backend = if cfg!(feature = "aws-lc-rs") { "AWS-LC" } else { "pure Rust" };
    println!("{backend}; load: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    println!(
        "{:>9}  {:>9} {:>9} {:>9}  {:>9} {:>9} {:>9}",
        "bytes", "seal", "out", "out crc", "open", "in", "in crc"
    );
    for len in [64, 4 << 10, 64 << 10, 1 << 20, 4 << 20] {
        let frames = (ROUND / len).clamp(1, 20_000);
        let (seal, open) = best(|| bare(len, frames))?;
        let mut secure = Ends::new(ConMode::Secure)?;
        let (sealed_out, sealed_in) = best(|| secure.run(len, frames))?;
        let mut crc = Ends::new(ConMode::Crc)?;
        let (crc_out, crc_in) = best(|| crc.run(len, frames))?;
        let all = [seal, sealed_out, crc_out, open, sealed_in, crc_in];
        let [a, b, c, d, e, f] = all.map(|s| (len * frames) as f64 / s / f64::from(1 << 20));
        println!("{len:>9}  {a:>9.0} {b:>9.0} {c:>9.0}  {d:>9.0} {e:>9.0} {f:>9.0}");
    }
    Ok(())
}

/// The least seconds of either way.
fn best(mut run: impl FnMut() -> Result<(f64, f64)>) -> Result<(f64, f64)> {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let (out, back) = run()?;
        least = (least.0.min(out), least.1.min(back));
    }
    Ok(least)
}

/// Seconds of sealing so many buffers in place, and of opening them.
fn bare(len: usize, frames: usize) -> Result<(f64, f64)> {
    let key = GcmKey::new(&[7; 16])?;
    let mut bufs = vec![vec![1; len + 16]; frames];
    let nonce = |i: usize| std::array::from_fn(|at| (i >> (8 * at.min(7))) as u8);
    let begin = Instant::now();
    for (i, buf) in bufs.iter_mut().enumerate() {
        let tag = key.seal_in_place(&nonce(i), &mut buf[..len])?;
        buf[len..].copy_from_slice(&tag);
    }
    let seal = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for (i, buf) in bufs.iter_mut().enumerate() {
        black_box(key.open_in_place(&nonce(i), buf)?);
    }
    Ok((seal, begin.elapsed().as_secs_f64()))
}

/// The sending half of one end and the receiving half of the other.
struct Ends {
    tx: FrameTx,
    rx: FrameRx,
}

impl Ends {
    fn new(mode: ConMode) -> Result<Self> {
        let end = |role| {
            let revision = Revision::V2_1;
            let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, role));
            set_con_mode(&mut tx, &mut rx, mode, &[7; 64])?;
            rx.set_ready();
            tx.transcript().take();
            rx.transcript().take();
            anyhow::Ok((tx, rx))
        };
        Ok(Self { tx: end(Role::Connecting)?.0, rx: end(Role::Accepting)?.1 })
    }

    /// Seconds of putting so many messages into an out buffer and writing them, and of reading them.
    fn run(&mut self, len: usize, frames: usize) -> Result<(f64, f64)> {
        let data = Bytes::from(vec![1; len]);
        let mut wire = Wire::default();
        let mut out = OutKvec::default();
        let mut seconds = 0.0;
        for i in 0..frames {
            let frame =
                OutFrame::message(i as u64, &[2; 41], Bytes::new(), Bytes::new(), data.clone());
            let begin = Instant::now();
            self.tx.add_frame(&mut out, frame)?;
            seconds += begin.elapsed().as_secs_f64();
            ensure!(out.write_to(&mut wire)?);
        }
        let begin = Instant::now();
        let (mut in_buf, mut received) = (InBuf::new(), 0);
        while received < frames {
            in_buf.readable();
            if let Some(Read::Frame(frame)) = self.rx.read(&mut in_buf, &mut wire)? {
                ensure!(black_box(frame.data).len() == len);
                received += 1;
            }
        }
        Ok((seconds, begin.elapsed().as_secs_f64()))
    }
}

/// What was sent is what is received.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    read: usize,
}

impl Wire {
    fn next(&mut self, max: usize) -> &[u8] {
        let n = max.min(self.bytes.len() - self.read);
        self.read += n;
        &self.bytes[self.read - n..self.read]
    }
}

impl Transport for Wire {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buf.len());
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let bytes = self.next(max);
        buf.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        bufs.iter().for_each(|b| self.bytes.extend_from_slice(b));
        Ok(bufs.iter().map(|b| b.len()).sum())
    }
}
