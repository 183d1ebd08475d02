//! An accepting end that keeps a session and answers by the tables of the protocol, and no more; and
//! the line between it and the machine, which can be cut anywhere.

use std::collections::VecDeque;

use super::far::*;
use super::sheets::*;
use super::*;

#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) far: Far,
    form: (u8, ConMode),
    key: Option<CryptoKey>,
    nonce: u64,
    input: Vec<u8>,
    pub(super) output: Vec<u8>,
    banner_read: bool,
    open: bool,
    lossy: bool,
    client_cookie: u64,
    pub(super) server_cookie: u64,
    pub(super) connect_seq: u64,
    peer_global_seq: u64,
    pub(super) in_seq: u64,
    pub(super) out_seq: u64,
    unacked: VecDeque<Msg>,
    /// tids of what arrived.
    pub(super) received: Vec<u64>,
    /// What is answered to the next SESSION_RECONNECT in place of what there would be.
    pub(super) retry: Option<u8>,
    /// Of all frames of this socket.
    pub(super) tags: Vec<u8>,
}

impl Acceptor {
    pub(super) fn new(form: (u8, ConMode), key: Option<CryptoKey>, lossy: bool) -> Self {
        let (input, output, received, tags) = Default::default();
        let unacked = VecDeque::new();
        Self {
            far: Far::new(form.0, true),
            form,
            key,
            nonce: 0,
            input,
            output,
            banner_read: false,
            open: false,
            lossy,
            client_cookie: 0,
            server_cookie: 0,
            connect_seq: 0,
            peer_global_seq: 0,
            in_seq: 0,
            out_seq: 0,
            unacked,
            received,
            retry: None,
            tags,
        }
    }

    pub(super) fn new_socket(&mut self) {
        self.cut();
        self.far = Far::new(self.form.0, true);
        self.output = self.far.banner();
    }

    pub(super) fn cut(&mut self) {
        (self.banner_read, self.open) = (false, false);
        self.input.clear();
        self.output.clear();
        self.tags.clear();
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn send(&mut self, len: usize) {
        self.out_seq += 1;
        let seq = self.out_seq;
        let msg = Msg { tid: seq, data: vec![seq as u8; len], ..Msg::new(seq) };
        if self.open {
            let bytes = self.far.msg(&Msg { ack: self.in_seq, ..msg.clone() });
            self.output.extend(bytes);
        }
        self.unacked.push_back(msg);
    }

    pub(super) fn ack(&mut self) {
        if self.open {
            let bytes = self.far.ack(self.in_seq);
            self.output.extend(bytes);
        }
    }

    pub(super) fn is_acked(&self) -> bool {
        self.unacked.is_empty()
    }

    fn trim(&mut self, seq: u64) {
        assert!(seq <= self.out_seq, "ack {seq} of {}", self.out_seq);
        self.unacked.retain(|m| m.seq > seq);
    }

    fn say(&mut self, tag: u8, payload: &[u8]) {
        let bytes = self.far.frame(tag, payload);
        self.output.extend(bytes);
    }

    /// Reads, and answers.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if !self.banner_read {
            if self.input.len() < BANNER {
                return;
            }
            let input = std::mem::take(&mut self.input);
            self.input = self.far.read_banner(&input).to_vec();
            self.banner_read = true;
            let seen = addr_of(2, [10, 1, 2, 3], 51234, 0);
            self.say(HELLO, &hello(2, &seen));
        }
        loop {
            let input = std::mem::take(&mut self.input);
            let Some((frame, rest)) = self.far.take(&input) else {
                self.input = input;
                return;
            };
            self.input = rest.to_vec();
            self.tags.push(frame.tag);
            self.frame(&frame);
        }
    }

    fn frame(&mut self, frame: &Frame) {
        assert_eq!(self.open, frame.tag >= MESSAGE, "tag {}", frame.tag);
        match frame.tag {
            HELLO => assert_eq!(frame.payload(), hello(8, &peer_addr())),
            AUTH_REQUEST => {
                let (method, modes, payload) = read_auth_request(frame.payload());
                assert!(modes.contains(&self.form.1.number()));
                let Some(key) = self.key.clone() else {
                    assert_eq!(method, 1);
                    return self.authenticated(&[], &[]);
                };
                let (nonce, answered) = open_authorizer(&key, &payload);
                assert_eq!((method, answered), (2, None));
                self.nonce = nonce;
                self.say(AUTH_REPLY_MORE, &more(&challenge(&key, 0x10)));
            }
            AUTH_REQUEST_MORE => {
                let key = self.key.clone().unwrap();
                let answer = open_authorizer(&key, &read_more(frame.payload()));
                assert_eq!(answer, (self.nonce, Some(0x11)));
                let secure = self.form.1 == ConMode::Secure;
                let secret = if secure { super::super::secret() } else { vec![] };
                let proof = authorizer_reply(&key, self.nonce, &secret);
                self.authenticated(&proof, &secret);
            }
            AUTH_SIGNATURE => {
                assert_eq!(frame.payload(), self.far.expected(self.key.as_ref()));
            }
            CLIENT_IDENT => self.client_ident(&ClientIdent::read(frame.payload())),
            SESSION_RECONNECT => self.reconnect(&Reconnect::read(frame.payload())),
            MESSAGE => {
                let m = Msg::read(frame);
                assert_eq!(m.seq, self.in_seq + 1, "doubled, or a gap");
                self.in_seq = m.seq;
                self.received.push(m.tid);
                self.trim(m.ack);
            }
            ACK => self.trim(read_u64(frame.payload())),
            KEEPALIVE2 => self.say(KEEPALIVE2_ACK, frame.payload()),
            other => panic!("tag {other}"),
        }
    }

    fn authenticated(&mut self, proof: &[u8], secret: &[u8]) {
        self.say(AUTH_DONE, &auth_done(4242, self.form.1.number(), proof));
        if !secret.is_empty() {
            self.far.set_secure(secret);
        }
        let signature = self.far.signature(self.key.as_ref());
        self.say(AUTH_SIGNATURE, &signature);
    }

    fn client_ident(&mut self, ident: &ClientIdent) {
        assert!(ident.global_seq > self.peer_global_seq, "a number of old");
        self.peer_global_seq = ident.global_seq;
        assert_eq!((ident.flags, ident.cookie == 0), (self.lossy.into(), self.lossy));
        if self.client_cookie != ident.cookie || self.lossy {
            // Nothing is known of it.
            (self.in_seq, self.out_seq) = (0, 0);
            self.received.clear();
            self.unacked.clear();
        }
        assert_eq!(self.in_seq, 0, "it has heard of the session");
        self.client_cookie = ident.cookie;
        self.server_cookie = if self.lossy { 0 } else { self.server_cookie + 1 };
        self.connect_seq = 0;
        let answer = match self.lossy {
            true => ServerIdent::lossy(),
            false => ServerIdent::lossless(),
        };
        self.say(SERVER_IDENT, &ServerIdent { cookie: self.server_cookie, ..answer }.bytes());
        self.resume();
    }

    fn reconnect(&mut self, reconnect: &Reconnect) {
        assert_eq!(reconnect.client_cookie, self.client_cookie);
        assert_eq!(reconnect.server_cookie, self.server_cookie);
        match self.retry.take() {
            Some(SESSION_RETRY) => {
                self.connect_seq = self.connect_seq.max(reconnect.connect_seq) + 3;
            }
            Some(SESSION_RETRY_GLOBAL) => {
                self.peer_global_seq = self.peer_global_seq.max(reconnect.global_seq) + 3;
            }
            _ => {}
        }
        // That answer may get lost, and is given again.
        if reconnect.global_seq <= self.peer_global_seq {
            return self.say(SESSION_RETRY_GLOBAL, &self.peer_global_seq.to_le_bytes());
        }
        if reconnect.connect_seq <= self.connect_seq {
            return self.say(SESSION_RETRY, &self.connect_seq.to_le_bytes());
        }
        self.connect_seq = reconnect.connect_seq;
        self.peer_global_seq = reconnect.global_seq;
        self.trim(reconnect.msg_seq);
        self.say(SESSION_RECONNECT_OK, &self.in_seq.to_le_bytes());
        self.resume();
    }

    fn resume(&mut self) {
        self.open = true;
        for msg in self.unacked.clone() {
            let bytes = self.far.msg(&Msg { ack: self.in_seq, ..msg });
            self.output.extend(bytes);
        }
    }
}

/// Both ends, and what is between them.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) con: Con,
    pub(super) acceptor: Acceptor,
    /// Bytes that still pass before the socket is cut: to the acceptor, and to the machine.
    pub(super) left: [usize; 2],
    /// What the machine got.
    pub(super) events: Vec<Event>,
}

impl Line {
    pub(super) fn new(scenario: Scenario) -> Self {
        let lossy = scenario.policy.lossy;
        let con = scenario.until(ConState::Preopen);
        let acceptor = Acceptor::new(con.form, con.key(), lossy);
        let mut line = Self { con, acceptor, left: [usize::MAX; 2], events: Vec::new() };
        line.dial();
        line
    }

    pub(super) fn dial(&mut self) {
        self.left = [usize::MAX; 2];
        self.con.dial();
        self.acceptor.new_socket();
    }

    /// Passes so many bytes to the machine at once, and all that it says to the acceptor, until
    /// nothing moves; false where the socket is cut before.
    pub(super) fn settle(&mut self, mut piece: impl FnMut() -> usize) -> Result<bool, Fault> {
        loop {
            self.con.run()?;
            self.events.extend(self.con.take_events());
            let out = self.con.pipe.take_output();
            let n = out.len().min(self.left[0]);
            self.left[0] -= n;
            self.acceptor.hear(&out[..n]);
            if n < out.len() {
                return Ok(false);
            }
            if self.acceptor.output.is_empty() {
                return Ok(true);
            }
            let n = piece().min(self.acceptor.output.len()).min(self.left[1]);
            self.left[1] -= n;
            let bytes: Vec<u8> = self.acceptor.output.drain(..n).collect();
            if n == 0 {
                return Ok(false);
            }
            self.con.receive(&bytes)?;
        }
    }

    /// The peer closes its end, or it breaks.
    pub(super) fn end(&mut self) -> Fault {
        self.acceptor.cut();
        self.con.pipe.eof = true;
        let fault = std::iter::repeat_with(|| self.con.run()).take(3).find_map(Result::err);
        self.events.extend(self.con.take_events());
        fault.expect("the end of the socket")
    }

    /// tids of the messages that the machine got.
    pub(super) fn got(&self) -> Vec<u64> {
        let tid = |e: &Event| match e {
            Event::Message(m) => Some(m.header.tid.0),
            _ => None,
        };
        self.events.iter().filter_map(tid).collect()
    }
}
