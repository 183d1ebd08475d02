//! The other end of a socket, byte by byte from the tables of the protocol: either role, either
//! revision, with checksums or sealed.

use crate::crypto::{CryptoKey, GcmKey};

pub(super) const HELLO: u8 = 1;
pub(super) const AUTH_REQUEST: u8 = 2;
pub(super) const AUTH_BAD_METHOD: u8 = 3;
pub(super) const AUTH_REPLY_MORE: u8 = 4;
pub(super) const AUTH_REQUEST_MORE: u8 = 5;
pub(super) const AUTH_DONE: u8 = 6;
pub(super) const AUTH_SIGNATURE: u8 = 7;
pub(super) const CLIENT_IDENT: u8 = 8;
pub(super) const SERVER_IDENT: u8 = 9;
pub(super) const IDENT_MISSING_FEATURES: u8 = 10;
pub(super) const SESSION_RECONNECT: u8 = 11;
pub(super) const SESSION_RESET: u8 = 12;
pub(super) const SESSION_RETRY: u8 = 13;
pub(super) const SESSION_RETRY_GLOBAL: u8 = 14;
pub(super) const SESSION_RECONNECT_OK: u8 = 15;
pub(super) const WAIT: u8 = 16;
pub(super) const MESSAGE: u8 = 17;
pub(super) const KEEPALIVE2: u8 = 18;
pub(super) const KEEPALIVE2_ACK: u8 = 19;
pub(super) const ACK: u8 = 20;

/// Registers of CRC-32C after each byte, from the polynomial.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 8 * 256 {
        let crc = if i % 8 == 0 { i as u32 / 8 } else { table[i / 8] };
        table[i / 8] = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        i += 1;
    }
    table
};

/// CRC-32C without inversions.
pub(super) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, b| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ b)])
}

/// A frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) segments: [Vec<u8>; 4],
}

impl Frame {
    /// That of a control frame.
    pub(super) fn payload(&self) -> &[u8] {
        assert!(self.segments[1..].iter().all(Vec::is_empty), "tag {}", self.tag);
        &self.segments[0]
    }
}

/// Keys and nonces of a sealed connection.
struct Sealed {
    key: GcmKey,
    tx: [u8; 12],
    rx: [u8; 12],
}

/// One end.
pub(super) struct Far {
    pub(super) revision: u8,
    accepting: bool,
    sealed: Option<Sealed>,
    /// All bytes of either direction, up to and with AUTH_DONE.
    pub(super) sent: Vec<u8>,
    pub(super) received: Vec<u8>,
    signed: bool,
}

impl std::fmt::Debug for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Far({}, {})", self.revision, self.accepting)
    }
}

/// `ceph v2\n`, length, and the bits of the messenger.
pub(super) fn banner(supported: u64, required: u64) -> Vec<u8> {
    [b"ceph v2\n\x10\0", &supported.to_le_bytes()[..], &required.to_le_bytes()].concat()
}

pub(super) const BANNER: usize = 26;

impl Far {
    pub(super) fn new(revision: u8, accepting: bool) -> Self {
        let (sent, received) = Default::default();
        Self { revision, accepting, sealed: None, sent, received, signed: false }
    }

    /// Its own banner.
    pub(super) fn banner(&mut self) -> Vec<u8> {
        self.say(banner(self.revision.into(), 0))
    }

    /// Remembers bytes that were made by hand.
    pub(super) fn say(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.signed {
            self.sent.extend(&bytes);
        }
        bytes
    }

    /// Takes the other banner off the front.
    pub(super) fn read_banner<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (head, rest) = bytes.split_at(BANNER);
        assert_eq!(head, banner(1, 0));
        self.received.extend(head);
        rest
    }

    /// From here on frames are sealed.
    pub(super) fn set_secure(&mut self, secret: &[u8]) {
        let key = GcmKey::new(secret[..16].try_into().unwrap()).unwrap();
        let (a, b) = (secret[16..28].try_into().unwrap(), secret[28..40].try_into().unwrap());
        let (tx, rx) = if self.accepting { (a, b) } else { (b, a) };
        self.sealed = Some(Sealed { key, tx, rx });
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// What AUTH_SIGNATURE of this end says.
    pub(super) fn signature(&self, key: Option<&CryptoKey>) -> Vec<u8> {
        key.map_or_else(|| vec![0; 32], |key| key.hmac_sha256(&[&self.received]).unwrap().to_vec())
    }

    /// What the other end's must say.
    pub(super) fn expected(&self, key: Option<&CryptoKey>) -> Vec<u8> {
        key.map_or_else(|| vec![0; 32], |key| key.hmac_sha256(&[&self.sent]).unwrap().to_vec())
    }

    /// A control frame.
    pub(super) fn frame(&mut self, tag: u8, payload: &[u8]) -> Vec<u8> {
        self.frame_of(tag, [payload, &[], &[], &[]], self.complete())
    }

    /// The late status of a frame that counts.
    pub(super) fn complete(&self) -> u8 {
        if self.revision == 1 { 0xe } else { 0 }
    }

    /// Any frame, with that late status if it has one.
    pub(super) fn frame_of(&mut self, tag: u8, segments: [&[u8]; 4], late: u8) -> Vec<u8> {
        let bytes = match &mut self.sealed {
            Some(sealed) => seal(sealed, self.revision, tag, segments, late),
            None => clear(self.revision, tag, segments, late),
        };
        let bytes = self.say(bytes);
        self.signed |= tag == AUTH_DONE;
        bytes
    }

    /// Takes one frame off the front, if it is whole.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> Option<(Frame, &'a [u8])> {
        let len;
        let frame;
        match &mut self.sealed {
            Some(sealed) => (frame, len) = open(sealed, self.revision, bytes)?,
            None => (frame, len) = read_clear(self.revision, bytes)?,
        }
        if !self.signed {
            self.received.extend(&bytes[..len]);
        }
        self.signed |= frame.tag == AUTH_DONE;
        Some((frame, &bytes[len..]))
    }

    /// All that there is; nothing may be left.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (frame, rest) =
                self.take(bytes).unwrap_or_else(|| panic!("{} bytes are no frame", bytes.len()));
            frames.push(frame);
            bytes = rest;
        }
        frames
    }

    /// The one frame that there is, which has this tag.
    #[track_caller]
    pub(super) fn read_one(&mut self, tag: u8, bytes: &[u8]) -> Vec<u8> {
        let frames = self.read(bytes);
        let [frame] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(frame.tag, tag);
        frame.payload().to_vec()
    }
}

fn count(segments: [&[u8]; 4]) -> usize {
    segments.iter().rposition(|s| !s.is_empty()).map_or(1, |last| last + 1)
}

/// Tag, number of segments, their lengths and alignments.
fn preamble(tag: u8, segments: [&[u8]; 4]) -> Vec<u8> {
    let mut out = vec![tag, count(segments) as u8];
    for (i, segment) in segments.iter().enumerate() {
        if i < count(segments) {
            out.extend((segment.len() as u32).to_le_bytes());
            out.extend(if i == 3 { 4096u16 } else { 8 }.to_le_bytes());
        }
    }
    out.resize(28, 0);
    out.extend(crc(0, &out).to_le_bytes());
    out
}

fn clear(revision: u8, tag: u8, segments: [&[u8]; 4], late: u8) -> Vec<u8> {
    let mut out = preamble(tag, segments);
    let n = count(segments);
    let crcs: Vec<u8> = segments
        .iter()
        .enumerate()
        .flat_map(|(i, s)| {
            let crc = if i < n { crc(u32::MAX, s) } else { 0 };
            crc.to_le_bytes()
        })
        .collect();
    out.extend(segments[0]);
    if revision == 1 && !segments[0].is_empty() {
        out.extend(&crcs[..4]);
    }
    segments[1..].iter().for_each(|s| out.extend(*s));
    if revision == 0 {
        out.push(late);
        out.extend(&crcs);
    } else if n > 1 {
        out.push(late);
        out.extend(&crcs[4..]);
    }
    out
}

fn up16(n: usize) -> usize {
    n.next_multiple_of(16)
}

/// Moves a nonce on by one.
fn step(revision: u8, nonce: &mut [u8; 12]) {
    if revision == 1 {
        let n = u64::from_le_bytes(nonce[4..].try_into().unwrap()).wrapping_add(1);
        nonce[4..].copy_from_slice(&n.to_le_bytes());
    } else {
        let n = u32::from_le_bytes(nonce[..4].try_into().unwrap()).wrapping_add(1);
        nonce[..4].copy_from_slice(&n.to_le_bytes());
    }
}

fn padded(segment: &[u8]) -> Vec<u8> {
    let mut out = segment.to_vec();
    out.resize(up16(segment.len()), 0);
    out
}

fn seal(sealed: &mut Sealed, revision: u8, tag: u8, segments: [&[u8]; 4], late: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |mut plain: Vec<u8>| {
        let tag = sealed.key.seal_in_place(&sealed.tx, &mut plain).unwrap();
        step(revision, &mut sealed.tx);
        out.extend(plain);
        out.extend(tag);
    };
    let mut epilogue = vec![0; 16];
    epilogue[0] = late;
    let tail: Vec<u8> = segments[1..].iter().flat_map(|s| padded(s)).collect();
    let head = preamble(tag, segments);
    if revision == 0 {
        add([head, padded(segments[0]), tail, epilogue].concat());
        return out;
    }
    let (inline, rest) = segments[0].split_at(segments[0].len().min(48));
    let mut first = [&head, inline].concat();
    first.resize(80, 0);
    add(first);
    if !rest.is_empty() {
        add(padded(rest));
    }
    if count(segments) > 1 {
        add([tail, epilogue].concat());
    }
    out
}

/// Lengths of the segments, which the preamble's crc vouches for.
fn lens(preamble: &[u8]) -> [usize; 4] {
    let crc_of = crc(0, &preamble[..28]).to_le_bytes();
    assert_eq!(preamble[28..32], crc_of, "crc of a preamble");
    assert_eq!(preamble[26..28], [0, 0], "flags and reserved");
    let mut lens = [0; 4];
    for (i, len) in lens.iter_mut().enumerate() {
        let at = 2 + 6 * i;
        *len = u32::from_le_bytes(preamble[at..at + 4].try_into().unwrap()) as usize;
        let align = u16::from_le_bytes(preamble[at + 4..at + 6].try_into().unwrap());
        let counted = i < preamble[1].into();
        let want = [8, 8, 8, 4096][i];
        assert_eq!(align, if counted { want } else { 0 }, "alignment of segment {i}");
        assert!(counted || *len == 0, "a segment that is not counted");
    }
    let count = lens.iter().rposition(|n| *n > 0).map_or(1, |last| last + 1);
    assert_eq!(usize::from(preamble[1]), count, "number of segments");
    lens
}

fn read_clear(revision: u8, bytes: &[u8]) -> Option<(Frame, usize)> {
    let lens = lens(bytes.get(..32)?);
    let count = usize::from(bytes[1]);
    let mut at = 32;
    let take = |at: &mut usize, n: usize| {
        *at += n;
        bytes.get(*at - n..*at).map(<[u8]>::to_vec)
    };
    let mut segments: [Vec<u8>; 4] = Default::default();
    segments[0] = take(&mut at, lens[0])?;
    if revision == 1 && lens[0] > 0 {
        let want = crc(u32::MAX, &segments[0]).to_le_bytes();
        assert_eq!(take(&mut at, 4)?, want, "crc of segment 0");
    }
    for i in 1..4 {
        segments[i] = take(&mut at, lens[i])?;
    }
    let first = usize::from(revision);
    if revision == 0 || count > 1 {
        let late = take(&mut at, 1)?;
        assert_eq!(late, [if revision == 1 { 0xe } else { 0 }], "late status");
        for (i, segment) in segments.iter().enumerate().skip(first) {
            let want = if i < count { crc(u32::MAX, segment) } else { 0 };
            assert_eq!(take(&mut at, 4)?, want.to_le_bytes(), "crc of segment {i}");
        }
    }
    Some((Frame { tag: bytes[0], segments }, at))
}

fn open(sealed: &mut Sealed, revision: u8, bytes: &[u8]) -> Option<(Frame, usize)> {
    let (key, mut nonce) = (&sealed.key, sealed.rx);
    let mut at = 0;
    let mut opened = |n: usize| {
        at += n;
        let mut part = bytes.get(at - n..at)?.to_vec();
        key.open_in_place(&nonce, &mut part).expect("a frame that opens");
        step(revision, &mut nonce);
        part.truncate(n - 16);
        Some(part)
    };
    let (mut plain, lens) = if revision == 1 {
        let mut plain = opened(96)?;
        let lens = lens(&plain);
        let head = plain.split_off(32);
        let mut all = [plain, head[..lens[0].min(48)].to_vec()].concat();
        assert!(head[lens[0].min(48)..].iter().all(|b| *b == 0), "padding");
        if lens[0] > 48 {
            all.extend(opened(up16(lens[0] - 48) + 16)?);
        }
        all.resize(32 + up16(lens[0]), 0);
        if lens[1..].iter().any(|n| *n > 0) {
            let tail: usize = lens[1..].iter().map(|n| up16(*n)).sum();
            all.extend(opened(tail + 32)?);
        }
        (all, lens)
    } else {
        let first: [u8; 32] = bytes.get(..32)?.try_into().unwrap();
        let lens = lens(&key.peek(&sealed.rx, &first).unwrap());
        let total: usize = lens.iter().map(|n| up16(*n)).sum();
        (opened(32 + total + 32)?, lens)
    };
    let tag = plain[0];
    let mut rest = plain.split_off(32);
    let mut segments: [Vec<u8>; 4] = Default::default();
    for (segment, len) in segments.iter_mut().zip(lens) {
        let after = rest.split_off(up16(len));
        assert!(rest[len..].iter().all(|b| *b == 0), "padding");
        rest.truncate(len);
        *segment = std::mem::replace(&mut rest, after);
    }
    if revision == 0 || lens[1..].iter().any(|n| *n > 0) {
        let mut complete = vec![0; 16];
        complete[0] = if revision == 1 { 0xe } else { 0 };
        assert_eq!(rest, complete, "epilogue");
    }
    sealed.rx = nonce;
    Some((Frame { tag, segments }, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::to_hex;

    #[test]
    fn frames_are_those_that_live_daemons_took() {
        assert_eq!(crc(0, b"123456789"), 0x58e3_fa20);
        assert_eq!(crc(u32::MAX, b"123456789"), 0x1cf9_6d7c);
        let secret: Vec<u8> = (0..64).collect();
        let stamp: Vec<u8> = (1..=8).collect();
        let keepalive2 = |revision, secure: bool| {
            let mut far = Far::new(revision, false);
            if secure {
                far.set_secure(&secret);
            }
            to_hex(&far.frame(KEEPALIVE2, &stamp))
        };
        assert_eq!(
            keepalive2(1, false),
            "12010800000008000000000000000000000000000000000000000000d8d5f59901020304050607087ee076b9"
        );
        assert_eq!(
            keepalive2(0, false),
            "12010800000008000000000000000000000000000000000000000000d8d5f599\
             0102030405060708007ee076b9000000000000000000000000"
        );
        assert_eq!(
            keepalive2(1, true),
            "4be816477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd6bc7a481\
             47c435f9d649f09e5036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
             01654a9d4a848c689172d4521fcf810829eb70ca211d2b8212d3d12123a80219"
        );
        assert_eq!(
            keepalive2(0, true),
            "4be816477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd6bc7a481\
             47c435f9d649f09e5036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
             b5432b29ee86b1882ac6b8e91e495464"
        );
    }

    #[test]
    fn what_one_far_end_says_the_other_reads() {
        for revision in [0, 1] {
            for secure in [false, true] {
                let (mut a, mut b) = (Far::new(revision, false), Far::new(revision, true));
                if secure {
                    a.set_secure(&[7; 40]);
                    b.set_secure(&[7; 40]);
                }
                for lens in [[41, 5, 0, 9], [41, 0, 0, 0], [100, 1, 1, 1], [0, 0, 0, 0]] {
                    let segments = lens.map(|n| vec![n as u8; n]);
                    let [s, f, m, d] = segments.each_ref().map(|s| &s[..]);
                    let complete = a.complete();
                    let bytes = a.frame_of(MESSAGE, [s, f, m, d], complete);
                    for n in 0..bytes.len() {
                        assert!(b.take(&bytes[..n]).is_none());
                    }
                    assert_eq!(b.read(&bytes), [Frame { tag: MESSAGE, segments }]);
                }
            }
        }
    }
}
