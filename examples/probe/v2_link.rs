//! One connection of messenger v2: the library's frames over a blocking socket, each sent and received
//! by hand.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use ceph_msgr::msgr::v2::control::{AuthSignatureFrame, ControlFrame};
use ceph_msgr::msgr::v2::{
    AuthSignatures, BANNER_HEAD_LEN, Banner, FrameRx, FrameTx, OutFrame, Read, Revision, Role, Tag,
};
use ceph_msgr::msgr::{Fault, InBuf, OutKvec, Transport};

use crate::link::{Broken, Wire};

/// A connection whose banners have been exchanged.
#[derive(Debug)]
pub(crate) struct Link2 {
    wire: Wire,
    /// The peer's.
    pub(crate) banner: Banner,
    pub(crate) revision: Revision,
    timeout: Duration,
    in_buf: InBuf,
    tx: FrameTx,
    rx: FrameRx,
}

/// What a socket says of a time-out.
const LATE: Fault = Fault::Io(io::ErrorKind::WouldBlock);

/// A step broke off; where time is up, nothing has come that was awaited.
fn broken(awaiting: &'static str, fault: Fault) -> Broken {
    let fault = match fault {
        Fault::Io(io::ErrorKind::WouldBlock) => Fault::TimedOut(awaiting),
        fault => fault,
    };
    Broken { fault, awaiting }
}

impl Link2 {
    /// Exchanges the banners. Where that fails, the wire has what came.
    pub(crate) fn open(mut wire: Wire, timeout: Duration) -> Result<Self, Box<(Wire, Broken)>> {
        wire.begin(timeout);
        match banners(&mut wire) {
            Ok((tx, rx, banner)) => {
                let revision = rx.revision();
                Ok(Self { wire, banner, revision, timeout, in_buf: InBuf::new(), tx, rx })
            }
            Err(fault) => Err(Box::new((wire, broken("banner", fault)))),
        }
    }

    /// Our end of the socket.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.wire.local_addr()
    }

    /// Writes a frame.
    pub(crate) fn send<T: ControlFrame>(&mut self, frame: &T) -> Result<(), Broken> {
        self.wire.begin(self.timeout);
        let mut out = OutKvec::default();
        let tag = Tag::try_from(T::TAG).map_err(|fault| broken("frame", fault))?;
        let payload = frame.to_payload();
        let added = self.tx.add_frame(&mut out, OutFrame::control(tag, &payload));
        let written = added.and_then(|()| Ok(out.write_to(&mut self.wire)?));
        match written {
            Ok(true) => Ok(()),
            Ok(false) => Err(broken("room for a frame", LATE)),
            Err(fault) => Err(broken("room for a frame", fault)),
        }
    }

    /// The next frame that is no message, and how long it took.
    pub(crate) fn receive(
        &mut self,
        awaiting: &'static str,
    ) -> Result<(Tag, Vec<u8>, Duration), Broken> {
        let begun = self.wire.begin(self.timeout);
        let (tag, payload) = self.try_receive().map_err(|fault| broken(awaiting, fault))?;
        Ok((tag, payload, begun.elapsed()))
    }

    fn try_receive(&mut self) -> Result<(Tag, Vec<u8>), Fault> {
        loop {
            self.in_buf.readable();
            match self.rx.read(&mut self.in_buf, &mut self.wire)? {
                Some(Read::Frame(frame)) if frame.tag != Tag::Message => {
                    return Ok((frame.tag, frame.payload.to_vec()));
                }
                Some(_) => {}
                None if self.wire.is_late() => return Err(LATE),
                None => {}
            }
        }
    }

    /// Exchanges the signatures of a handshake that no key signs. Frames stay in the clear.
    pub(crate) fn sign(&mut self) -> Result<(), Broken> {
        const AWAITING: &str = "AUTH_SIGNATURE";
        let (received, sent) = (self.rx.transcript().take(), self.tx.transcript().take());
        let signatures = AuthSignatures::new(None, &received, &sent)
            .map_err(|_| broken(AWAITING, Fault::BadSignature))?;
        self.send(&AuthSignatureFrame(signatures.ours()))?;
        let (tag, payload, _) = self.receive(AWAITING)?;
        let checked = match tag {
            Tag::AuthSignature => AuthSignatureFrame::from_payload(&payload)
                .map_err(Fault::from)
                .and_then(|frame| signatures.check(&frame.0)),
            other => Err(Fault::UnexpectedTag(other)),
        };
        checked.map_err(|fault| broken(AWAITING, fault))
    }

    /// The session is open: messages may come.
    pub(crate) fn set_ready(&mut self) {
        self.rx.set_ready();
    }
}

/// Writes ours, and reads the peer's, all bytes of which count for the signatures.
fn banners(wire: &mut Wire) -> Result<(FrameTx, FrameRx, Banner), Fault> {
    let ours = Banner::OURS.encode();
    let mut written = 0;
    while written < ours.len() {
        written += wire.send_vectored(&[IoSlice::new(&ours[written..])])?;
    }
    let mut bytes = Vec::new();
    read_to(wire, &mut bytes, BANNER_HEAD_LEN)?;
    let head = bytes.first_chunk().ok_or(Fault::BadBanner)?;
    let len = BANNER_HEAD_LEN + Banner::payload_len(head)?;
    read_to(wire, &mut bytes, len)?;
    let banner = Banner::decode(&bytes[BANNER_HEAD_LEN..])?;
    let revision = Banner::OURS.agree(&banner)?;
    let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, Role::Connecting));
    tx.transcript().add(&ours)?;
    rx.transcript().add(&bytes)?;
    Ok((tx, rx, banner))
}

/// Reads until there are `len` bytes, and no more.
fn read_to(wire: &mut Wire, bytes: &mut Vec<u8>, len: usize) -> Result<(), Fault> {
    while bytes.len() < len {
        let mut some = vec![0; len - bytes.len()];
        match wire.recv(&mut some)? {
            0 => return Err(Fault::PeerClosed),
            n => bytes.extend_from_slice(&some[..n]),
        }
        Banner::check_prefix(bytes)?;
    }
    Ok(())
}
