//! A TCP proxy in front of one daemon that reads messenger v1 well enough to cut a connection at a
//! chosen place.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where to cut a connection. What the peer whose bytes are cut has sent before gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The hellos are through, our connect message is not.
    BeforeConnect,
    InConnect,
    /// The first connect message, to which a challenge is the answer.
    AfterConnect,
    /// The connect message with the answer to the challenge.
    AfterAnsweredConnect,
    /// The MDS has accepted the session, and we hear nothing of it.
    BeforeSeqReply,
    /// Its 26 bytes, without the authorizer and the number.
    AfterSeqReplyHeader,
    InTheirSeq,
    /// We think that the session is open; the MDS waits for our number.
    BeforeOurSeq,
    InOurSeq,
    AfterOurSeq,
    InOurMessage,
    InTheirMessage,
    InOurAck,
    InTheirAck,
    /// It has all that we sent, and we may not have its answer.
    AfterTheirAck,
    /// After so many bytes of ours.
    AtOurByte(u64),
    /// After so many bytes of theirs.
    AtTheirByte(u64),
}

impl Place {
    /// Those of the handshake: where an attempt fails, and the next one waits.
    pub(crate) const HANDSHAKE: [Self; 9] = [
        Self::BeforeConnect,
        Self::InConnect,
        Self::AfterConnect,
        Self::AfterAnsweredConnect,
        Self::BeforeSeqReply,
        Self::AfterSeqReplyHeader,
        Self::InTheirSeq,
        Self::BeforeOurSeq,
        Self::InOurSeq,
    ];
    /// Those after which our side was open, and may have heard nothing.
    pub(crate) const UNHEARD: [Self; 4] =
        [Self::AfterOurSeq, Self::InOurMessage, Self::InTheirMessage, Self::InTheirAck];
    /// Those after which it had a message or an ack.
    pub(crate) const HEARD: [Self; 2] = [Self::InOurAck, Self::AfterTheirAck];

    /// The kind, for counting.
    pub(crate) fn kind(self) -> Self {
        match self {
            Self::AtOurByte(_) => Self::AtOurByte(0),
            Self::AtTheirByte(_) => Self::AtTheirByte(0),
            other => other,
        }
    }

    /// How many bytes of a unit still get through, if this is the one.
    fn cut(self, unit: &Unit, from_client: bool, sent_before: u64) -> Option<usize> {
        let len = unit.bytes.len();
        let at = match (self, from_client, unit.what) {
            (Self::BeforeConnect, true, What::Connect(1)) => 0,
            (Self::InConnect, true, What::Connect(1)) => len / 2,
            (Self::AfterConnect, true, What::Connect(1)) => len,
            (Self::AfterAnsweredConnect, true, What::Connect(2)) => len,
            (Self::BeforeSeqReply, false, What::SeqReply) => 0,
            (Self::AfterSeqReplyHeader, false, What::SeqReply) => len,
            (Self::InTheirSeq, false, What::Seq) => len / 2,
            (Self::BeforeOurSeq, true, What::Seq) => 0,
            (Self::InOurSeq, true, What::Seq) => len / 2,
            (Self::AfterOurSeq, true, What::Seq) => len,
            (Self::InOurMessage, true, What::Message)
            | (Self::InTheirMessage, false, What::Message)
            | (Self::InOurAck, true, What::Ack)
            | (Self::InTheirAck, false, What::Ack) => len / 2,
            (Self::AfterTheirAck, false, What::Ack) => len,
            (Self::AtOurByte(at), true, _) | (Self::AtTheirByte(at), false, _) => {
                usize::try_from(at.saturating_sub(sent_before)).unwrap_or(usize::MAX)
            }
            _ => return None,
        };
        (at <= len).then_some(at)
    }
}

/// What is told to the test; a handshake has several.
pub(crate) type OnStep = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Proxy {
    addr: SocketAddr,
    inner: Arc<Inner>,
    acceptor: Option<JoinHandle<()>>,
}

struct Inner {
    target: SocketAddr,
    own: SocketAddr,
    on_step: OnStep,
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The places to come, one for each connection; without one it is left alone.
    plan: VecDeque<Place>,
    cuts: BTreeMap<Place, u32>,
    /// Planned cuts that have not happened.
    left: usize,
    link: Option<Arc<Link>>,
}

impl Proxy {
    /// Listens, and passes everything on to `target`. `on_step` is called as each part of a
    /// handshake passes.
    pub(crate) fn start(target: SocketAddr, on_step: OnStep) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let addr = listener.local_addr().expect("it is bound");
        let inner = Arc::new(Inner {
            target,
            own: addr,
            on_step,
            state: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let acceptor = thread::spawn({
            let inner = inner.clone();
            move || inner.accept(&listener)
        });
        Self { addr, inner, acceptor: Some(acceptor) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts the next connections, one after the other, at these places. The one that is there now
    /// is cut at once.
    pub(crate) fn cut(&self, places: impl IntoIterator<Item = Place>) {
        let mut state = self.inner.lock();
        state.plan.extend(places);
        state.left = state.plan.len();
        let link = state.link.clone();
        drop(state);
        if let Some(link) = link {
            link.shutdown();
        }
    }

    /// Cuts the connection that is there.
    pub(crate) fn cut_now(&self) {
        self.cut([]);
    }

    /// Planned cuts that have not happened.
    pub(crate) fn cuts_left(&self) -> usize {
        self.inner.lock().left
    }

    /// Waits until all that was planned has happened; gives back how often each kind did, or what
    /// has not happened.
    pub(crate) fn await_cuts(&self, patience: Duration) -> Result<BTreeMap<Place, u32>, String> {
        let state = self.inner.lock();
        let (state, timeout) = self
            .inner
            .changed
            .wait_timeout_while(state, patience, |state| state.left > 0)
            .expect("no thread has panicked");
        if timeout.timed_out() {
            let place = state.link.as_ref().and_then(|link| link.place);
            return Err(format!("{} cuts are left, now {place:?}", state.left));
        }
        Ok(state.cuts.clone())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.inner.stopped.store(true, SeqCst);
        let _ = TcpStream::connect(self.addr);
        let ended = self.acceptor.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the proxy could not follow the protocol");
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut pumps: Vec<JoinHandle<()>> = Vec::new();
        for client in listener.incoming() {
            if self.stopped.load(SeqCst) {
                break;
            }
            let client = client.expect("a connection");
            let server = TcpStream::connect(self.target).expect("the daemon listens");
            for stream in [&client, &server] {
                stream.set_nodelay(true).expect("TCP");
            }
            let mut state = self.lock();
            let place = state.plan.pop_front();
            let link = Arc::new(Link {
                client,
                server,
                place,
                opened: AtomicU8::new(0),
                cut: AtomicBool::new(false),
                sent: [AtomicU64::new(0), AtomicU64::new(0)],
            });
            state.link = Some(link.clone());
            drop(state);
            pumps.extend([true, false].map(|from_client| {
                let (inner, link) = (self.clone(), link.clone());
                thread::spawn(move || inner.pump(&link, from_client))
            }));
        }
        if let Some(link) = self.lock().link.take() {
            link.shutdown();
        }
        pumps.into_iter().for_each(|pump| pump.join().expect("it does not panic"));
    }

    /// One direction of a connection, to its end.
    fn pump(&self, link: &Link, from_client: bool) {
        let mut reader = UnitReader { link, from_client, connects: 0, next: Next::Hello };
        while let Ok(mut unit) = reader.read(self.own) {
            let to = &mut if from_client { &link.server } else { &link.client };
            let sent = &link.sent[usize::from(from_client)];
            let before = sent.fetch_add(unit.bytes.len() as u64, SeqCst);
            let cut = link.place.and_then(|place| place.cut(&unit, from_client, before));
            if let Some(at) = cut
                && !link.cut.swap(true, SeqCst)
            {
                unit.bytes.truncate(at);
                let _ = to.write_all(&unit.bytes);
                self.has_cut(link);
                break;
            }
            if to.write_all(&unit.bytes).is_err() {
                break;
            }
            if !matches!(unit.what, What::Message | What::Ack | What::Other) {
                (self.on_step)();
            }
        }
        link.shutdown();
    }

    /// Counted before the client can see it, and so before it dials again.
    fn has_cut(&self, link: &Link) {
        let mut state = self.lock();
        if let Some(place) = link.place {
            *state.cuts.entry(place.kind()).or_default() += 1;
            state.left -= 1;
            self.changed.notify_all();
        }
    }
}

/// A connection that was accepted and the one to the daemon.
struct Link {
    client: TcpStream,
    server: TcpStream,
    place: Option<Place>,
    /// The tag with which the daemon has opened the session, SEQ or READY.
    opened: AtomicU8,
    cut: AtomicBool,
    /// Bytes that were passed on, of the daemon and of the client.
    sent: [AtomicU64; 2],
}

impl Link {
    fn shutdown(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

// --- The stream -----------------------------------------------------------------------------------

const READY: u8 = 1;
const SEQ: u8 = 13;

/// A part of the stream that belongs together.
struct Unit {
    what: What,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Hello,
    /// With its authorizer; counted from 1.
    Connect(u32),
    /// A connect reply other than SEQ.
    Reply,
    /// The 26 bytes of one that does.
    SeqReply,
    Authorizer,
    /// An in_seq, the last thing of a handshake.
    Seq,
    Message,
    Ack,
    /// A keepalive and the like.
    Other,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Hello,
    Connect,
    Authorizer { len: usize, then: Then },
    Seq,
    Frame,
}

/// What follows on a connect reply.
#[derive(Clone, Copy, Debug)]
enum Then {
    Connect,
    Seq,
    Frame,
}

struct UnitReader<'a> {
    link: &'a Link,
    from_client: bool,
    connects: u32,
    next: Next,
}

impl UnitReader<'_> {
    fn read(&mut self, own: SocketAddr) -> io::Result<Unit> {
        match self.next {
            Next::Hello => self.hello(own),
            Next::Connect if self.from_client => self.connect(),
            Next::Connect => self.reply(),
            Next::Authorizer { len, then } => {
                self.next = match then {
                    Then::Connect => Next::Connect,
                    Then::Seq => Next::Seq,
                    Then::Frame => Next::Frame,
                };
                self.unit(What::Authorizer, len)
            }
            Next::Seq => {
                self.next = Next::Frame;
                self.unit(What::Seq, 8)
            }
            Next::Frame => self.frame(self.bytes(1)?),
        }
    }

    fn hello(&mut self, own: SocketAddr) -> io::Result<Unit> {
        self.next = Next::Connect;
        if self.from_client {
            return self.unit(What::Hello, 9 + 136);
        }
        let mut hello = self.unit(What::Hello, 9 + 2 * 136)?;
        // The client compares it with the address that it dialled, which is ours.
        hello.bytes[9 + 10..9 + 12].copy_from_slice(&own.port().to_be_bytes());
        Ok(hello)
    }

    fn connect(&mut self) -> io::Result<Unit> {
        // What follows on the daemon's reply, which the client has read by the time it says more.
        let mut bytes = self.bytes(1)?;
        match self.link.opened.load(SeqCst) {
            SEQ => {
                self.next = Next::Frame;
                self.more(&mut bytes, 7)?;
                return Ok(Unit { what: What::Seq, bytes });
            }
            READY => {
                self.next = Next::Frame;
                return self.frame(bytes);
            }
            _ => {}
        }
        self.more(&mut bytes, 32)?;
        let authorizer = u32_at(&bytes, 28);
        self.more(&mut bytes, authorizer)?;
        self.connects += 1;
        Ok(Unit { what: What::Connect(self.connects), bytes })
    }

    fn reply(&mut self) -> io::Result<Unit> {
        let bytes = self.bytes(26)?;
        let (what, then) = match bytes[0] {
            SEQ => (What::SeqReply, Then::Seq),
            // To a client that begins anew where the MDS had a session.
            READY => (What::Reply, Then::Frame),
            _ => (What::Reply, Then::Connect),
        };
        if matches!(bytes[0], SEQ | READY) {
            self.link.opened.store(bytes[0], SeqCst);
        }
        self.next = Next::Authorizer { len: u32_at(&bytes, 21), then };
        Ok(Unit { what, bytes })
    }

    /// The rest of a frame of which the tag is there.
    fn frame(&self, mut bytes: Vec<u8>) -> io::Result<Unit> {
        let (what, len) = match bytes[0] {
            7 => (What::Message, 53),
            8 => (What::Ack, 8),
            14 | 15 => (What::Other, 8),
            6 | 9 => (What::Other, 0),
            tag => panic!("a tag {tag}, from the client: {}", self.from_client),
        };
        self.more(&mut bytes, len)?;
        if what == What::Message {
            // Front, middle, data, and the footer with a signature.
            let len = [22, 26, 30].map(|at| u32_at(&bytes, 1 + at)).iter().sum::<usize>() + 21;
            self.more(&mut bytes, len)?;
        }
        Ok(Unit { what, bytes })
    }

    fn unit(&self, what: What, len: usize) -> io::Result<Unit> {
        Ok(Unit { what, bytes: self.bytes(len)? })
    }

    fn bytes(&self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.more(&mut bytes, len)?;
        Ok(bytes)
    }

    fn more(&self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let start = bytes.len();
        bytes.resize(start + len, 0);
        let mut from = if self.from_client { &self.link.client } else { &self.link.server };
        from.read_exact(&mut bytes[start..])
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + 4].try_into().expect("four bytes");
    usize::try_from(u32::from_le_bytes(bytes)).expect("it fits")
}
