//! Sessions with daemons of Ceph 16.2.15, replayed from both ends. `tests/live/captures.rs` has
//! recorded them; the keys are those of clusters that are gone.
//!
//! ```text
//! # what daemon                         > title       a frame of the dialler, and its bytes
//! dialled: address                       6365...
//! from: address of the socket           < title       one of the daemon
//! session key: base64                    6365...
//! connection secret: hex
//! ```

mod changed;
mod handshake;
mod messages;
mod replay;

use std::net::SocketAddr;

use super::*;
use crate::crypto::CryptoKey;
use crate::denc::Decode as _;
use crate::hex::hex;
use crate::msgr::v2::control::{ControlFrame, MsgHeader2};
use crate::types::{EntityAddr, EntityName, EntityType};

/// One socket, from the banners on.
pub(super) struct Capture {
    name: &'static str,
    mode: Mode,
    dialled: EntityAddr,
    from: SocketAddr,
    session_key: Option<CryptoKey>,
    secret: Vec<u8>,
    /// Whose, title, and bytes.
    frames: Vec<(Role, &'static str, Vec<u8>)>,
}

macro_rules! captures {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!($name, ".txt")))),*]
    };
}

const CAPTURES: [(&str, &str); 20] = captures![
    "mon-rev1-crc",
    "mon-rev1-secure",
    "mon-rev0-crc",
    "mon-rev0-secure",
    "mon-missing-rev1-crc",
    "mon-missing-rev1-secure",
    "mon-none-rev1-crc",
    "mon-none-rev0-crc",
    "osd-rev1-crc",
    "osd-rev1-secure",
    "osd-rev0-crc",
    "osd-rev0-secure",
    "mds-rev1-crc",
    "mds-rev1-secure",
    "mds-reconnect-rev1-crc",
    "mds-reconnect-rev1-secure",
    "mds-retry-rev1-crc",
    "mds-retry-rev1-secure",
    "mds-reset-rev1-crc",
    "mds-reset-rev1-secure",
];

const ROLES: [Role; 2] = [Role::Connecting, Role::Accepting];

fn captures() -> impl Iterator<Item = Capture> {
    CAPTURES.into_iter().map(|(name, text)| Capture::parse(name, text))
}

fn other(role: Role) -> Role {
    match role {
        Role::Connecting => Role::Accepting,
        Role::Accepting => Role::Connecting,
    }
}

impl Capture {
    fn parse(name: &'static str, text: &'static str) -> Self {
        let (rest, secure) = match name.strip_suffix("-secure") {
            Some(rest) => (rest, true),
            None => (name.strip_suffix("-crc").unwrap(), false),
        };
        let revision = if rest.ends_with("rev1") { V2_1 } else { V2_0 };
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let mut frames: Vec<(Role, &str, Vec<u8>)> = Vec::new();
        for line in text.lines() {
            match line.split_at(1) {
                (">", title) => frames.push((Role::Connecting, title.trim(), Vec::new())),
                ("<", title) => frames.push((Role::Accepting, title.trim(), Vec::new())),
                (" ", bytes) => frames.last_mut().unwrap().2.extend(hex(bytes)),
                _ => {}
            }
        }
        Self {
            name,
            mode: (revision, secure),
            dialled: value("dialled: ").unwrap().parse().unwrap(),
            from: value("from: ").unwrap().parse().unwrap(),
            session_key: value("session key: ").map(|key| key.parse().unwrap()),
            secret: value("connection secret: ").map(hex).unwrap_or_default(),
            frames,
        }
    }

    /// What this end sent: title and bytes.
    fn sent_by(&self, role: Role) -> impl Iterator<Item = (&'static str, &[u8])> {
        let mine = self.frames.iter().filter(move |(by, ..)| *by == role);
        mine.map(|(_, title, bytes)| (*title, &bytes[..]))
    }

    fn bytes_of(&self, role: Role) -> Vec<u8> {
        self.sent_by(role).flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }

    /// Its bytes that are signed: all before its AUTH_SIGNATURE.
    fn signed_by(&self, role: Role) -> Vec<u8> {
        let clear = self.sent_by(role).take_while(|(title, _)| *title != "AUTH_SIGNATURE");
        clear.flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }

    /// Both halves of this end, behind the banners.
    fn end(&self, role: Role) -> (FrameTx, FrameRx) {
        (FrameTx::new(self.mode.0), FrameRx::new(self.mode.0, role))
    }

    /// AUTH_DONE has been there.
    fn authenticated(&self, tx: &mut FrameTx, rx: &mut FrameRx) {
        set_con_mode(tx, rx, mode(self.mode.1), &self.secret).unwrap();
    }

    /// Reads `bytes`, which the other end sent, or which take the place of that: the frames behind the
    /// banner, and what is signed.
    fn read(
        &self,
        role: Role,
        bytes: &[u8],
        per_recv: usize,
    ) -> Result<(Vec<Got>, Vec<u8>), Fault> {
        let (banner, frames) = bytes.split_at(Banner::OURS.encode().len());
        let head = banner.first_chunk().unwrap();
        if Banner::payload_len(head)? != banner.len() - head.len() {
            return Err(Fault::BadBanner);
        }
        Banner::decode(&banner[head.len()..])?;
        let (mut tx, mut rx) = self.end(role);
        rx.transcript().add(banner)?;
        let mut pipe = Pipe { per_recv, ..Pipe::default() };
        pipe.feed(frames);
        let (mut in_buf, mut got, mut signed) = (InBuf::new(), Vec::new(), Vec::new());
        let clear = self.sent_by(other(role)).take_while(|(title, _)| *title != "AUTH_SIGNATURE");
        let clear = clear.count() - 1;
        loop {
            in_buf.readable();
            match rx.read(&mut in_buf, &mut pipe)? {
                None if pipe.unread() == 0 => return Ok((got, signed)),
                None | Some(Read::Header(_)) => continue,
                Some(Read::Aborted(preamble)) => got.push(Got::Aborted(preamble.tag)),
                Some(Read::Frame(f)) => {
                    let all = [f.payload.to_vec(), f.front.into(), f.middle.into(), f.data.into()];
                    got.push(Got::Frame(f.tag, all));
                }
            }
            if got.len() == clear {
                signed = rx.transcript().take();
                self.authenticated(&mut tx, &mut rx);
            }
            // The frame after AUTH_SIGNATURE opens the session, or fails to.
            if got.len() == clear + 2 {
                rx.set_ready();
            }
        }
    }

    /// All frames of one end, as the other end reads them.
    fn frames_of(&self, role: Role) -> Vec<Got> {
        self.read(other(role), &self.bytes_of(role), usize::MAX).unwrap().0
    }

    /// The control frames of one kind.
    fn controls<T: ControlFrame>(&self, role: Role) -> Vec<T> {
        let frames = self.frames_of(role);
        let payloads = frames.iter().filter_map(|frame| match frame {
            Got::Frame(tag, [payload, ..]) if *tag as u8 == T::TAG => Some(payload),
            _ => None,
        });
        payloads.map(|payload| T::from_payload(payload).unwrap()).collect()
    }

    /// The only one of that kind.
    fn control<T: ControlFrame>(&self, role: Role) -> Option<T> {
        let mut found = self.controls(role);
        assert!(found.len() < 2, "{}", self.name);
        found.pop()
    }
}

/// As the captures have it.
fn title(frame: &Got) -> String {
    match frame {
        Got::Frame(Tag::Message, [header, ..]) => {
            let header = MsgHeader2::from_bytes(header).unwrap();
            let src = EntityName::new(EntityType::MON, 0);
            format!("MESSAGE {}", header.to_header(src).type_name())
        }
        Got::Frame(tag, _) => tag.to_string(),
        Got::Aborted(tag) => format!("aborted {tag}"),
    }
}
