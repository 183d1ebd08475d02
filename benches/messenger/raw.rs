//! The same over the standard library's sockets, blocking.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::ours::LOCALHOST;

/// Both ends of a connection.
fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(LOCALHOST)?;
    let a = TcpStream::connect(listener.local_addr()?)?;
    let (b, _) = listener.accept()?;
    a.set_nodelay(true)?;
    b.set_nodelay(true)?;
    Ok((a, b))
}

/// A socket at whose other end a thread sends back what it reads.
pub(crate) struct Echo {
    sock: TcpStream,
    buf: Vec<u8>,
    thread: JoinHandle<()>,
}

impl Echo {
    pub(crate) fn new(len: usize) -> Result<Self> {
        let (sock, mut peer) = pair()?;
        let thread = std::thread::spawn(move || {
            let mut buf = vec![0; len];
            while peer.read_exact(&mut buf).is_ok() && peer.write_all(&buf).is_ok() {}
        });
        Ok(Self { sock, buf: vec![7; len], thread })
    }

    pub(crate) fn run(&mut self, n: u64) -> Result<Duration> {
        let begin = Instant::now();
        for _ in 0..n {
            self.sock.write_all(&self.buf)?;
            self.sock.read_exact(&mut self.buf)?;
        }
        Ok(begin.elapsed())
    }

    pub(crate) fn close(self) {
        drop(self.sock);
        let _ = self.thread.join();
    }
}

/// A socket at whose other end a thread reads into one buffer, and tells when as much has come as
/// was announced.
pub(crate) struct OneWay {
    sock: TcpStream,
    announce: Sender<u64>,
    all: Receiver<Instant>,
    thread: JoinHandle<()>,
}

impl OneWay {
    /// `len` is what one read takes, and waits for.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let (sock, mut peer) = pair()?;
        let (announce, announced) = mpsc::channel::<u64>();
        let (done, all) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut buf = vec![0; len];
            for mut left in announced {
                while left > 0 {
                    let n = left.min(len as u64);
                    if peer.read_exact(&mut buf[..n as usize]).is_err() {
                        return;
                    }
                    left -= n;
                }
                let _ = done.send(Instant::now());
            }
        });
        Ok(Self { sock, announce, all, thread })
    }

    /// Writes the bytes so many times, each with one call, and waits until all have been read.
    pub(crate) fn run(&mut self, bytes: &[u8], n: u64) -> Result<Duration> {
        self.announce.send(bytes.len() as u64 * n)?;
        let begin = Instant::now();
        for _ in 0..n {
            self.sock.write_all(bytes)?;
        }
        let end = self.all.recv_timeout(Duration::from_secs(60));
        Ok(end.map_err(|_| anyhow!("not all bytes came"))? - begin)
    }

    pub(crate) fn close(self) {
        drop((self.sock, self.announce));
        let _ = self.thread.join();
    }
}
