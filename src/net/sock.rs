//! The TCP socket: non-blocking from before connect, no delay, no SIGPIPE, close-on-exec.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};

use super::Wake;
use crate::msgr::Transport;

/// `MSG_NOSIGNAL`, which the standard library's writes lack.
const NOSIGNAL: i32 = rustix::net::SendFlags::NOSIGNAL.bits() as i32;

/// A connected, or connecting, socket that two threads may use.
#[derive(Clone, Debug)]
pub(crate) struct Sock(Arc<Socket>);

/// What poll(2) found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) woken: bool,
}

impl Sock {
    /// Begins to connect (`ceph_tcp_connect`).
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&addr.into()) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(e) => return Err(e),
        }
        Ok(Self(Arc::new(socket)))
    }

    /// The error of a connect that has ended, if it failed.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        self.0.take_error()?.map_or(Ok(()), Err)
    }

    /// Ends both directions; whoever polls the socket wakes.
    pub(crate) fn shutdown(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl AsFd for Sock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A listening socket, non-blocking.
#[derive(Debug)]
pub(crate) struct ListenSock {
    socket: Socket,
    addr: SocketAddr,
}

impl ListenSock {
    /// How many connections the kernel holds until they are accepted (`ms_tcp_listen_backlog`).
    const BACKLOG: i32 = 512;

    /// Binds and listens; port 0 is a free one.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if addr.is_ipv6() {
            // So that the same port of IPv4 can be bound beside it.
            socket.set_only_v6(true)?;
        }
        socket.bind(&addr.into())?;
        socket.listen(Self::BACKLOG)?;
        let addr = socket.local_addr()?.as_socket().unwrap_or(addr);
        Ok(Self { socket, addr })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next socket, its own address and its peer's; `None` where none waits, and for one that
    /// is gone already.
    pub(crate) fn accept(&self) -> io::Result<Option<(Sock, SocketAddr, SocketAddr)>> {
        let (socket, peer) = match self.socket.accept() {
            Ok(accepted) => accepted,
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let set_up = || {
            socket.set_nonblocking(true)?;
            socket.set_tcp_nodelay(true)?;
            Ok::<_, io::Error>(socket.local_addr()?.as_socket())
        };
        // A peer may have closed it before it was accepted: then it has no address.
        let (Ok(Some(own)), Some(peer)) = (set_up(), peer.as_socket()) else { return Ok(None) };
        Ok(Some((Sock(Arc::new(socket)), own, peer)))
    }
}

impl AsFd for ListenSock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for a connection at any of the sockets, the wake-up or the time-out (`None`: for ever).
/// Says of each socket whether one waits.
pub(crate) fn wait_any<'a>(
    socks: impl Iterator<Item = &'a ListenSock>,
    wake: &Wake,
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut fds: Vec<_> = socks.map(|s| PollFd::new(s, PollFlags::IN)).collect();
    let listening = fds.len();
    fds.push(PollFd::new(wake, PollFlags::IN));
    match poll(&mut fds, timeout.map(timespec).as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(fds[..listening].iter().map(|fd| !fd.revents().is_empty()).collect())
}

fn timespec(t: Duration) -> Timespec {
    Timespec { tv_sec: t.as_secs().min(i32::MAX as u64) as i64, tv_nsec: t.subsec_nanos().into() }
}

/// What of a socket's input is waited for; an error always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing.
    None,
    /// Bytes, or their end.
    Read,
    /// That the peer sends no more, whatever is there to be read.
    End,
}

impl Interest {
    pub(crate) fn read_if(read: bool) -> Self {
        if read { Self::Read } else { Self::None }
    }
}

/// Waits for the socket, the wake-up or the time-out (`None`: for ever).
pub(crate) fn wait(
    sock: Option<(&Sock, Interest, bool)>,
    wake: &Wake,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let interest = sock.map_or(PollFlags::empty(), |(_, read, write)| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read == Interest::Read);
        flags.set(PollFlags::RDHUP, read == Interest::End);
        flags.set(PollFlags::OUT, write);
        flags
    });
    let on_wake = || PollFd::new(wake, PollFlags::IN);
    let mut fds = [on_wake(), sock.map_or_else(on_wake, |(s, ..)| PollFd::new(s, interest))];
    let used = if sock.is_some() { 2 } else { 1 };
    match poll(&mut fds[..used], timeout.map(timespec).as_ref()) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(Ready::default()),
        Err(e) => return Err(e.into()),
    }
    let revents = if sock.is_some() { fds[1].revents() } else { PollFlags::empty() };
    Ok(Ready { woken: !fds[0].revents().is_empty(), ..found(revents) })
}

/// Waits for the socket to be readable, or writable, or the time-out. Nobody wakes it but who shuts the
/// socket down.
pub(crate) fn wait_alone(sock: &Sock, write: bool, timeout: Duration) -> io::Result<Ready> {
    let flags = if write { PollFlags::OUT } else { PollFlags::IN };
    let mut fds = [PollFd::new(sock, flags)];
    match poll(&mut fds, Some(&timespec(timeout))) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(Ready::default()),
        Err(e) => return Err(e.into()),
    }
    Ok(found(fds[0].revents()))
}

/// A broken socket shows its error to whoever uses it next.
fn found(revents: PollFlags) -> Ready {
    let hup = PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP;
    let read = revents.intersects(PollFlags::IN | hup);
    Ready { read, write: revents.intersects(PollFlags::OUT | hup), woken: false }
}

impl Transport for Sock {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (_, n) = retry(|| recv(&self.0, &mut *buf, RecvFlags::empty()))?;
        Ok(n)
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        if buf.capacity() - buf.len() > max {
            // More room than was asked for must not swallow what follows.
            let mut some = [0; 16 << 10];
            let n = max.min(some.len());
            let n = self.recv(&mut some[..n])?;
            buf.extend_from_slice(&some[..n]);
            return Ok(n);
        }
        let (_, n) = retry(|| recv(&self.0, spare_capacity(buf), RecvFlags::empty()))?;
        Ok(n)
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self.0.send_vectored_with_flags(bufs, NOSIGNAL) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

fn retry<T>(mut f: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match f() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
