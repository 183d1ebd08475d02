//! What the same bytes cost on a bare TCP socket between two threads.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Two ends; the far one is a thread's, which ends when the near one is closed.
fn pair(far: impl FnOnce(TcpStream) + Send + 'static) -> Result<(TcpStream, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (sock, _) = listener.accept()?;
    near.set_nodelay(true)?;
    sock.set_nodelay(true)?;
    Ok((near, std::thread::spawn(move || far(sock))))
}

/// Time for `n` times `len` bytes there and back.
pub(crate) fn round_trips(len: usize, n: u32) -> Result<Duration> {
    let (mut near, thread) = pair(move |mut far| {
        let mut buf = vec![0; len];
        while far.read_exact(&mut buf).is_ok() && far.write_all(&buf).is_ok() {}
    })?;
    let mut buf = vec![7; len];
    let begin = Instant::now();
    for _ in 0..n {
        near.write_all(&buf)?;
        near.read_exact(&mut buf)?;
    }
    let took = begin.elapsed();
    drop(near);
    thread.join().map_err(|_| anyhow!("the far end panicked"))?;
    Ok(took)
}

/// Time until `n` times `len` bytes have been read at the other end.
pub(crate) fn one_way(len: usize, n: u32) -> Result<Duration> {
    let (mut near, thread) = pair(move |mut far| {
        let mut buf = vec![0; len];
        for _ in 0..n {
            if far.read_exact(&mut buf).is_err() {
                return;
            }
        }
        let _ = far.write_all(&[1]);
    })?;
    let buf = vec![7; len];
    let begin = Instant::now();
    for _ in 0..n {
        near.write_all(&buf)?;
    }
    near.read_exact(&mut [0])?;
    let took = begin.elapsed();
    thread.join().map_err(|_| anyhow!("the far end panicked"))?;
    Ok(took)
}
