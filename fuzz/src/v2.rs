//! The bytes of messenger v2, made without the library's own encoder of frames, and the far end of a
//! socket that makes them.

use bytes::Bytes;
use ceph_msgr::crc32c::ceph_crc32c;
use ceph_msgr::crypto::{CryptoKey, GcmKey};
use ceph_msgr::msgr::InBuf;
use ceph_msgr::msgr::v2::control::ControlFrame;
use ceph_msgr::msgr::v2::{
    AuthSignatures, ConMode, FrameRx, FrameTx, Read, Revision, Role, set_con_mode,
};

use crate::input::Input;
use crate::pipe::Pipe;

/// Banner of a peer with these features.
pub fn banner(supported: u64, required: u64, more: &[u8]) -> Vec<u8> {
    let len = 16 + more.len() as u16;
    let features = [supported.to_le_bytes(), required.to_le_bytes()].concat();
    [b"ceph v2\n", &len.to_le_bytes()[..], &features, more].concat()
}

/// How long our own banner is.
pub const BANNER_LEN: usize = 26;

/// Key and next nonce of one direction.
pub struct Sealer {
    revision: Revision,
    key: GcmKey,
    nonce: [u8; 12],
}

impl Sealer {
    /// What an end with that role seals with.
    pub fn new(revision: Revision, role: Role, secret: &[u8]) -> Self {
        let at = if role == Role::Accepting { 16 } else { 28 };
        let key = GcmKey::new(secret[..16].try_into().expect("16 bytes")).expect("a key");
        Self { revision, key, nonce: secret[at..at + 12].try_into().expect("12 bytes") }
    }

    /// Seals all that is in `buf` from `at` on, and appends the tag.
    fn seal(&mut self, buf: &mut Vec<u8>, at: usize) {
        let tag = self.key.seal_in_place(&self.nonce, &mut buf[at..]).expect("a key");
        buf.extend(tag);
        let mut nonce =
            u128::from_le_bytes([&self.nonce[..], &[0; 4]].concat().try_into().expect("16"));
        match self.revision {
            Revision::V2_0 => {
                let n = (nonce as u32).wrapping_add(1);
                nonce = nonce >> 32 << 32 | u128::from(n);
            }
            Revision::V2_1 => {
                let n = ((nonce >> 32) as u64).wrapping_add(1);
                nonce = u128::from(nonce as u32) | u128::from(n) << 32;
            }
        }
        self.nonce.copy_from_slice(&nonce.to_le_bytes()[..12]);
    }
}

/// A frame, right or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Any.
    pub tag: u8,
    /// What is in it.
    pub segments: [Vec<u8>; 4],
    /// Taken back at its end.
    pub aborted: bool,
}

impl Frame {
    /// Of one segment.
    pub fn control(tag: u8, payload: Vec<u8>) -> Self {
        Self { tag, segments: [payload, vec![], vec![], vec![]], aborted: false }
    }

    /// How many segments are counted.
    pub fn count(&self) -> usize {
        self.segments.iter().rposition(|s| !s.is_empty()).map_or(1, |n| n + 1)
    }
}

/// Writes frames.
pub struct Enc {
    /// As the banners say.
    pub revision: Revision,
    /// Where frames are sealed.
    pub sealer: Option<Sealer>,
    /// Whether segments have checksums.
    pub crc_data: bool,
}

fn pad(buf: &mut Vec<u8>) {
    buf.resize(buf.len().next_multiple_of(16), 0);
}

impl Enc {
    /// In the clear.
    pub fn new(revision: Revision, crc_data: bool) -> Self {
        Self { revision, sealer: None, crc_data }
    }

    /// The bytes of a frame.
    pub fn frame(&mut self, frame: &Frame) -> Vec<u8> {
        self.damaged(frame, &mut Input::new(&[]))
    }

    /// The same, with what the input changes in preamble and epilogue before they have their crc and
    /// their tag.
    pub fn damaged(&mut self, frame: &Frame, input: &mut Input<'_>) -> Vec<u8> {
        let (count, segments) = (frame.count(), &frame.segments);
        let mut preamble = vec![frame.tag, count as u8];
        for (i, segment) in segments.iter().enumerate() {
            let alignment: u16 = [8, 8, 8, 4096][i];
            let len = segment.len() as u32;
            preamble.extend(len.to_le_bytes());
            preamble.extend(if i < count { alignment } else { 0 }.to_le_bytes());
        }
        preamble.extend([0, 0]);
        input.damage(&mut preamble);
        preamble.extend(ceph_crc32c(0, &preamble).to_le_bytes());

        let rev0 = self.revision == Revision::V2_0;
        let mut late = [match (rev0, frame.aborted) {
            (true, aborted) => u8::from(aborted),
            (false, true) => 1,
            (false, false) => 0xe,
        }];
        input.damage(&mut late);
        let mut out = preamble;
        let Some(sealer) = &mut self.sealer else {
            let crc = |i: usize| {
                let counts = self.crc_data && i < count;
                (if counts { ceph_crc32c(u32::MAX, &segments[i]) } else { 0 }).to_le_bytes()
            };
            out.extend(&segments[0]);
            if !rev0 && !segments[0].is_empty() {
                out.extend(crc(0));
            }
            segments[1..].iter().for_each(|segment| out.extend(segment));
            if rev0 || count > 1 {
                out.extend(late);
                (usize::from(!rev0)..4).for_each(|i| out.extend(crc(i)));
            }
            return out;
        };
        let mut at = 0;
        if rev0 {
            out.extend(&segments[0]);
            pad(&mut out);
        } else {
            let (inline, rest) = segments[0].split_at(segments[0].len().min(48));
            out.extend(inline);
            out.resize(80, 0);
            sealer.seal(&mut out, 0);
            at = out.len();
            if !rest.is_empty() {
                out.extend(rest);
                pad(&mut out);
                sealer.seal(&mut out, at);
                at = out.len();
            }
        }
        if rev0 || count > 1 {
            for segment in &segments[1..] {
                out.extend(segment);
                pad(&mut out);
            }
            out.extend(late);
            pad(&mut out);
            sealer.seal(&mut out, at);
        }
        out
    }
}

/// The far end of a machine's socket: it reads what the machine has written, and has what it needs to
/// answer as it should.
pub struct Far {
    role: Role,
    /// What it writes with.
    pub enc: Enc,
    rx: FrameRx,
    in_buf: InBuf,
    pipe: Pipe,
    taken: usize,
    banner: Vec<u8>,
    sent: Vec<u8>,
    signatures: Option<AuthSignatures>,
}

impl Far {
    /// An end with that role, of which the banner goes out first.
    pub fn new(role: Role, revision: Revision, crc_data: bool) -> Self {
        let banner = banner(u64::from(revision == Revision::V2_1), 0, &[]);
        let mut rx = FrameRx::new(revision, role);
        rx.set_crc_data(crc_data);
        let (in_buf, pipe, sent) = (InBuf::new(), Pipe::default(), banner.clone());
        let enc = Enc::new(revision, crc_data);
        Self { role, enc, rx, in_buf, pipe, taken: 0, banner, sent, signatures: None }
    }

    /// Its banner.
    pub fn banner(&self) -> Vec<u8> {
        self.banner.clone()
    }

    /// A frame as it should be, which the signature counts.
    pub fn control<T: ControlFrame>(&mut self, frame: &T) -> Vec<u8> {
        let bytes = self.enc.frame(&Frame::control(T::TAG, frame.to_payload()));
        self.sent.extend(&bytes);
        bytes
    }

    /// Messages may come.
    pub fn set_ready(&mut self) {
        self.rx.set_ready();
    }

    /// All frames that are whole in what the machine has written so far, behind its banner. What
    /// cannot be read is a panic: a machine has written it.
    pub fn read(&mut self, output: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| self.read_next(output)).collect()
    }

    /// One frame, for what is behind it may be in another mode.
    pub fn read_next(&mut self, output: &[u8]) -> Option<Frame> {
        if self.taken == 0 {
            let banner = output.get(..BANNER_LEN)?;
            assert_eq!(banner, self::banner(1, 0, &[]));
            self.rx.transcript().add(banner).expect("a short one");
            self.taken = BANNER_LEN;
        }
        self.pipe.feed(&output[self.taken..]);
        self.taken = output.len();
        self.in_buf.readable();
        self.read_one()
    }

    fn read_one(&mut self) -> Option<Frame> {
        loop {
            let read = self.rx.read(&mut self.in_buf, &mut self.pipe);
            match read.expect("a machine has written it")? {
                Read::Header(_) => {}
                Read::Frame(frame) => {
                    let rest = [frame.front, frame.middle, frame.data].map(|s| s.to_vec());
                    let [front, middle, data] = rest;
                    let segments = [frame.payload.to_vec(), front, middle, data];
                    return Some(Frame { tag: frame.tag as u8, segments, aborted: false });
                }
                Read::Aborted(preamble) => panic!("{preamble:?}"),
            }
        }
    }

    /// Behind AUTH_DONE, sent or received: how frames go on, and what signs.
    pub fn authenticated(&mut self, mode: ConMode, secret: &[u8], key: Option<&CryptoKey>) {
        let received = self.rx.transcript().take();
        let signatures = AuthSignatures::new(key, &received, &self.sent).expect("a whole key");
        self.signatures = Some(signatures);
        let mut unused = FrameTx::new(self.enc.revision);
        set_con_mode(&mut unused, &mut self.rx, mode, secret).expect("a whole secret");
        if mode == ConMode::Secure {
            self.enc.sealer = Some(Sealer::new(self.enc.revision, self.role, secret));
        }
    }

    /// What AUTH_SIGNATURE is to say.
    pub fn signature(&self) -> Option<[u8; 32]> {
        self.signatures.as_ref().map(AuthSignatures::ours)
    }

    /// Whether that is what the machine signs if all was received that was sent.
    pub fn is_right(&self, signature: &[u8]) -> bool {
        let signature = signature.try_into().expect("32 bytes");
        self.signatures.as_ref().expect("it is its turn").check(&signature).is_ok()
    }
}

/// A message with that number and these segments, which says what has come.
pub fn message(seq: u64, ack_seq: u64, [front, middle, data]: [Vec<u8>; 3]) -> Frame {
    let mut header = seq.to_le_bytes().to_vec();
    header.extend(9u64.to_le_bytes());
    // Type 42, default priority, version 1.
    [42u16, 127, 1].iter().for_each(|n| header.extend(n.to_le_bytes()));
    header.extend([0; 6]);
    header.extend(ack_seq.to_le_bytes());
    // Complete; compat version 1; reserved.
    header.extend([1, 1, 0, 0, 0]);
    Frame { tag: tag::MESSAGE, segments: [header, front, middle, data], aborted: false }
}

/// The number of a message, and that up to which it acknowledges.
pub fn seqs(frame: &Frame) -> (u64, u64) {
    let long = |at: usize| frame.segments[0][at..at + 8].try_into().expect("eight bytes");
    (u64::from_le_bytes(long(0)), u64::from_le_bytes(long(28)))
}

/// What a frame has behind segment 0, as the library gives it.
pub fn tail(frame: &Frame) -> [Bytes; 3] {
    [1, 2, 3].map(|i| Bytes::copy_from_slice(&frame.segments[i]))
}

/// The tags that more than one target looks at.
pub mod tag {
    pub const HELLO: u8 = 1;
    pub const AUTH_REQUEST: u8 = 2;
    pub const AUTH_BAD_METHOD: u8 = 3;
    pub const AUTH_REPLY_MORE: u8 = 4;
    pub const AUTH_REQUEST_MORE: u8 = 5;
    pub const AUTH_DONE: u8 = 6;
    pub const AUTH_SIGNATURE: u8 = 7;
    pub const CLIENT_IDENT: u8 = 8;
    pub const SERVER_IDENT: u8 = 9;
    pub const IDENT_MISSING_FEATURES: u8 = 10;
    pub const SESSION_RECONNECT: u8 = 11;
    pub const SESSION_RESET: u8 = 12;
    pub const SESSION_RETRY: u8 = 13;
    pub const SESSION_RETRY_GLOBAL: u8 = 14;
    pub const SESSION_RECONNECT_OK: u8 = 15;
    pub const WAIT: u8 = 16;
    pub const MESSAGE: u8 = 17;
    pub const KEEPALIVE2: u8 = 18;
    pub const KEEPALIVE2_ACK: u8 = 19;
    pub const ACK: u8 = 20;
}
